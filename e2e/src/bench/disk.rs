//! How fast the disk is that etcd writes to: each write that the API server answers has waited for it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;

use super::figures::Figure;
use super::times::Times;

const WRITES: usize = 300;
/// About as much as etcd appends for one small object.
const BLOCK: [u8; 4096] = [1; 4096];

/// Appends to a file in that folder, and waits for the disk each time.
pub(super) fn measure(folder: &Path) -> anyhow::Result<Figure> {
    let path = folder.join("fsync");
    let mut file = File::create(&path).with_context(|| format!("could not make {}", path.display()))?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        file.write_all(&BLOCK)?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    fs::remove_file(&path)?;
    let times = Times::of(times);
    let note = format!("fdatasync of 4 KiB appended, where etcd writes; 99 % within {:.2} ms", times.percentile(99));
    Ok(Figure::new("fsync of the disk", times.median(), "ms").note(note))
}
