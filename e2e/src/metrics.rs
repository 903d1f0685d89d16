//! The numbers that a part tells in Prometheus' text format.

use anyhow::Context as _;

/// The counts of one page.
pub struct Metrics {
    page: String,
}

impl Metrics {
    /// Reads the page at that address.
    pub async fn read(url: &str) -> anyhow::Result<Self> {
        let answer = reqwest::get(url).await?.error_for_status()?;
        Ok(Self { page: answer.text().await.with_context(|| format!("could not read {url}"))? })
    }

    /// The sum of a metric over all its samples that carry these labels. What is not a whole number counts as none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let samples = self.page.lines().filter_map(Sample::parse);
        let ours = samples.filter(|sample| sample.name == name && labels.iter().all(|label| sample.carries(*label)));
        ours.map(|sample| sample.value).sum()
    }
}

struct Sample<'l> {
    name: &'l str,
    labels: &'l str,
    value: u64,
}

impl<'l> Sample<'l> {
    fn parse(line: &'l str) -> Option<Self> {
        let (name, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        let value = value.strip_suffix(".0").unwrap_or(value).parse().ok()?;
        Some(Self { name, labels: labels.strip_suffix('}').unwrap_or(labels), value })
    }

    /// No value that is asked for holds a quote.
    fn carries(&self, (key, value): (&str, &str)) -> bool {
        self.labels.split("\",").any(|label| {
            label.split_once("=\"").is_some_and(|(own, text)| own == key && text.trim_end_matches('"') == value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# HELP requests_total Requests
# TYPE requests_total counter
requests_total{code=\"200\",route=\"/a\"} 3
requests_total{code=\"503\",route=\"/a\"} 2
requests_total{code=\"200\",route=\"/b,c\"} 4.0
requests_total_other{code=\"200\"} 9
seconds_sum 0.25
leader 1
";

    #[test]
    fn samples_are_added_up_by_their_labels() {
        let metrics = Metrics { page: PAGE.to_owned() };
        let sum = |labels: &[(&str, &str)]| metrics.sum("requests_total", labels);
        assert_eq!(sum(&[]), 9, "all of them");
        assert_eq!(sum(&[("code", "200")]), 7, "by one label");
        assert_eq!(sum(&[("code", "200"), ("route", "/b,c")]), 4, "by two, one with a comma");
        assert_eq!(sum(&[("ode", "200")]), 0, "a label is not a part of another");
        assert_eq!(metrics.sum("leader", &[]), 1, "a metric without labels");
        assert_eq!(metrics.sum("seconds_sum", &[]), 0, "not a count");
    }
}
