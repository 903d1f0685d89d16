//! Whether a program can run in an image that holds nothing else: it is static, and for the image's processors.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::{Architecture, Error};

// The words of ELF's 64-bit header that matter here, by their offset.
const MACHINE: usize = 18;
const PROGRAM_HEADERS: usize = 32;
const HEADER_SIZE: usize = 54;
const HEADER_COUNT: usize = 56;
const HEADER: usize = 64;
/// A program header that names the loader of shared libraries.
const PT_INTERP: u32 = 3;

impl Architecture {
    fn machine(self) -> u16 {
        match self {
            Self::Amd64 => 62,
            Self::Arm64 => 183,
        }
    }
}

/// Checks a program that is to run without a C library beside it.
///
/// # Errors
/// [`Error::Program`] says what is wrong with it: no program of Linux, other processors, or dynamically linked.
pub fn check_static(path: &Path, architecture: Architecture) -> Result<(), Error> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let wrong = |why: &str| Err(Error::Program { path: path.to_owned(), why: why.to_owned() });
    let mut file = File::open(path).map_err(unreadable)?;
    let mut header = Vec::new();
    file.by_ref().take(HEADER as u64).read_to_end(&mut header).map_err(unreadable)?;
    if !header.starts_with(b"\x7fELF\x02\x01") || header.len() < HEADER {
        return wrong("it is no 64-bit program of Linux");
    }
    if number::<2>(&header, MACHINE) != u64::from(architecture.machine()) {
        return wrong(&format!("it is not for linux/{}", architecture.word()));
    }
    let size = usize::try_from(number::<2>(&header, HEADER_SIZE)).unwrap_or(0);
    file.seek(SeekFrom::Start(number::<8>(&header, PROGRAM_HEADERS))).map_err(unreadable)?;
    let mut table = Vec::new();
    file.take(number::<2>(&header, HEADER_COUNT) * size as u64).read_to_end(&mut table).map_err(unreadable)?;
    if table.chunks(size.max(1)).any(|entry| number::<4>(entry, 0) == u64::from(PT_INTERP)) {
        return wrong("it is dynamically linked, and the image has no C library to start it with: build it static");
    }
    Ok(())
}

/// The little-endian number of so many bytes that stands there; 0 past the end.
fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..at + BYTES).unwrap_or_default();
    found.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that is nothing but headers, one of this type.
    fn program(machine: u16, header_type: u32) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(HEADER, 0);
        bytes.splice(MACHINE..MACHINE + 2, machine.to_le_bytes());
        bytes.splice(PROGRAM_HEADERS..PROGRAM_HEADERS + 8, 64_u64.to_le_bytes());
        bytes.splice(HEADER_SIZE..HEADER_SIZE + 2, 56_u16.to_le_bytes());
        bytes.splice(HEADER_COUNT..HEADER_COUNT + 2, 1_u16.to_le_bytes());
        bytes.extend(header_type.to_le_bytes());
        bytes.resize(HEADER + 56, 0);
        bytes
    }

    #[test]
    fn a_program_that_could_not_start_is_told_apart() {
        let cases = [
            ("static", program(62, 1), "ok"),
            ("for ARM", program(183, 1), "not for linux/amd64"),
            ("asks for a loader", program(62, PT_INTERP), "dynamically linked"),
            ("a script", b"#!/bin/sh\n".to_vec(), "no 64-bit program"),
            ("cut short", b"\x7fELF\x02\x01".to_vec(), "no 64-bit program"),
            ("empty", Vec::new(), "no 64-bit program"),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        for (why, bytes, want) in cases {
            std::fs::write(&path, bytes).unwrap();
            let told =
                check_static(&path, Architecture::Amd64).map_or_else(|error| error.to_string(), |()| "ok".to_owned());
            assert!(told.contains(want), "{why}: {told}");
        }
    }
}
