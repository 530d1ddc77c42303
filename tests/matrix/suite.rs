//! The own test suite of the `zookeeper-client` crate, with TLS and DIGEST-MD5 (`tools/client-crate-suite`).
//!
//! It builds some hundred crates and runs for minutes, so that only a whole run of the matrix has it.

use std::env;
use std::process::Command;

use crate::ground::{everything, is_against_zookeeper};

#[test]
fn the_zookeeper_client_crate_passes_its_own_test_suite() {
    if !everything() {
        println!("left out: RINGKEEPER_MATRIX=all runs it");
        return;
    }
    let root = env!("CARGO_MANIFEST_DIR");
    let manifest = format!("{root}/tools/client-crate-suite/Cargo.toml");
    for tls in ["false", "true"] {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["test", "--quiet", "--locked", "--manifest-path", &manifest]);
        // It tries servers of 3.3 and 3.4, which are not here.
        command.args(["--", "--skip", "test_zookeeper_old_server", "--test-threads", "4"]);
        // Otherwise each test chooses at random.
        command.env("ZK_TEST_TLS", tls).env("ZK_TLS_HOSTNAME_VERIFICATION", "true");
        if is_against_zookeeper() {
            command.env_remove("RINGKEEPER_UNDER_TEST");
        } else {
            command.env("RINGKEEPER_UNDER_TEST", env!("CARGO_BIN_EXE_ringkeeper"));
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let result = text.lines().filter(|line| line.starts_with("test result"));
        println!("TLS {tls}: {}", result.collect::<Vec<_>>().join("; "));
        assert!(output.status.success(), "{text}");
    }
}
