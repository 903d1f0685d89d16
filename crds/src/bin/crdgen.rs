//! Writes the CustomResourceDefinitions as YAML, one file a kind, into the folder given (default manifest/install).

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = PathBuf::from(env::args().nth(1).unwrap_or_else(|| "manifest/install".to_owned()));
    fs::create_dir_all(&folder)?;
    for (name, text) in aegis_crds::install_files().map_err(io::Error::other)? {
        fs::write(folder.join(&name), text)?;
        eprintln!("wrote {}", folder.join(name).display());
    }
    Ok(())
}
