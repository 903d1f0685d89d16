//! What the benchmarks share: a table for people and JSON for machines.
//!
//! A figure that misses its target is reported, never asserted: absolute times depend on the machine and on what else
//! it does. Ratios of two measurements of one run do so much less.

use std::path::PathBuf;

use serde_json::{Value, json};

/// One measured value.
#[derive(Debug)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what, such as "us" or "MiB"; empty for a plain number.
    pub unit: &'static str,
    /// What it should be.
    pub target: Option<Target>,
    /// What it is compared with, or what it is made of.
    pub note: String,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "each benchmark uses the kinds that it needs")]
pub enum Target {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Roughly this, on a machine of our time; less is better.
    About(f64),
}

impl Figure {
    /// A figure without a target.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, target: None, note: String::new() }
    }

    /// Says what it should be.
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Says what it is compared with, or what it is made of.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Measured / target.
    fn ratio(&self) -> Option<f64> {
        let (Target::AtMost(target) | Target::AtLeast(target) | Target::About(target)) = self.target?;
        (target > 0.0).then(|| self.value / target)
    }

    fn missed(&self) -> bool {
        match self.target {
            Some(Target::AtMost(target)) => self.value > target,
            Some(Target::AtLeast(target)) => self.value < target,
            // "About" leaves room for the machine.
            Some(Target::About(target)) => self.value > 1.5 * target,
            None => false,
        }
    }

    fn columns(&self) -> [String; 5] {
        let amount = |value: f64| format!("{} {}", short(value), self.unit).trim_end().to_owned();
        let target = match self.target {
            Some(Target::AtMost(target)) => format!("at most {}", amount(target)),
            Some(Target::AtLeast(target)) => format!("at least {}", amount(target)),
            Some(Target::About(target)) => format!("about {}", amount(target)),
            None => String::new(),
        };
        let met = if self.missed() { "missed" } else { "met" };
        let ratio = match self.ratio() {
            Some(ratio) => format!("{ratio:.2} {met}"),
            None if self.target.is_some() => met.to_owned(),
            None => String::new(),
        };
        [self.name.clone(), amount(self.value), target, ratio, self.note.clone()]
    }

    fn json(&self) -> Value {
        let (kind, target) = match self.target {
            Some(Target::AtMost(target)) => ("at most", Some(target)),
            Some(Target::AtLeast(target)) => ("at least", Some(target)),
            Some(Target::About(target)) => ("about", Some(target)),
            None => ("none", None),
        };
        json!({
            "name": self.name, "value": self.value, "unit": self.unit, "note": self.note,
            "target": {"kind": kind, "value": target}, "ratio": self.ratio(), "missed": self.missed(),
        })
    }
}

/// What the command line of a benchmark asks for.
#[derive(Debug, Default)]
pub struct Arguments {
    /// Where to write the figures as JSON.
    pub json: Option<PathBuf>,
    /// The binary to measure instead of the one that Cargo built.
    #[allow(dead_code, reason = "one benchmark measures a binary")]
    pub binary: Option<PathBuf>,
    /// Only figures whose names hold one of these words; all if there is none.
    pub only: Vec<String>,
}

impl Arguments {
    /// Reads this process's command line.
    #[allow(dead_code, reason = "one benchmark is a command with more to say")]
    pub fn read() -> Self {
        let mut read = Self::default();
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            match argument.as_str() {
                // Cargo tells so that it runs a benchmark.
                "--bench" => {}
                "--json" => read.json = given.next().map(PathBuf::from),
                "--binary" => read.binary = given.next().map(PathBuf::from),
                _ => read.only.push(argument),
            }
        }
        read
    }

    /// Whether a figure of that name is asked for.
    #[allow(dead_code, reason = "one benchmark is a command with more to say")]
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

/// Prints the table, and writes the file if one was asked for.
pub fn publish(benchmark: &str, figures: &[Figure], arguments: &Arguments) -> std::io::Result<()> {
    let heads = ["figure", "measured", "target", "ratio", "beside it"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(heads).chain(figures.iter().map(Figure::columns)).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    for [name, measured, target, ratio, note] in &rows {
        let [a, b, c, d] = widths;
        println!("{}", format!("{name:<a$}  {measured:>b$}  {target:<c$}  {ratio:<d$}  {note}").trim_end());
    }
    let Some(path) = &arguments.json else { return Ok(()) };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let figures: Vec<Value> = figures.iter().map(Figure::json).collect();
    let report = json!({"benchmark": benchmark, "cores": cores, "figures": figures});
    std::fs::write(path, format!("{report:#}\n"))
}

/// Three digits that mean something.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 100.0 || value.fract() == 0.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}
