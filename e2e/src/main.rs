//! The front door of the end-to-end tests: `aegis-e2e build | up | down | run | bench | list`.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    aegis_e2e::cli::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("the end-to-end tests run a kubelet and containers, and so need Linux");
    std::process::ExitCode::from(2)
}
