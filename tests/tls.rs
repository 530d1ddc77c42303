//! TLS for clients: a whole server process, with the programs that operators use, and with clients that must be kept
//! out.
//!
//! The clients are `openssl s_client`, kazoo and Java's of ZooKeeper 3.9.4. Certificates are made anew for each run.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "tls/certificates.rs"]
mod certificates;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use certificates::{Certificates, OTHERS, OURS};
use ringkeeper_testkit::{Config, Environment, Guarded, Server, free_port};

/// One executor for everything; and two session cores beside a replica core.
const WIRINGS: [&str; 2] = ["ringkeeper.cores=1", "ringkeeper.cores=3"];

const PATIENCE: Duration = Duration::from_secs(20);

/// A server with a port for TLS, and what its clients need.
struct Secured {
    server: Server,
    certificates: Certificates,
    port: u16,
}

impl Secured {
    fn start(lines: &[&str]) -> Secured {
        Secured::start_with(Certificates::new(), lines)
    }

    fn start_with(certificates: Certificates, lines: &[&str]) -> Secured {
        let port = free_port();
        let mut config = Config::new().line(&format!("secureClientPort={port}"));
        for (key, file) in [("keyStore", "server.pem"), ("trustStore", "authority.pem")] {
            let path = certificates.path(file);
            config = config.line(&format!("ssl.{key}.location={}", path.display()));
        }
        let superuser = "X509AuthenticationProvider.superUser=CN=root,O=Ringkeeper";
        config = config.line("secureClientPortAddress=127.0.0.1").line(superuser);
        for line in lines {
            config = config.line(line);
        }
        let server = Server::ringkeeper(env!("CARGO_BIN_EXE_ringkeeper"), config);
        Secured { server, certificates, port }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// `openssl s_client` at this address, which sends `input`; with these options.
    fn openssl(&self, address: SocketAddr, options: &[&str], input: &str) -> Output {
        let mut command = Command::new("timeout");
        command.args([&PATIENCE.as_secs().to_string(), "openssl"]);
        command.args(["s_client", "-quiet", "-no_ign_eof", "-connect", &address.to_string()]);
        command.arg("-CAfile").arg(self.certificates.path("authority.pem"));
        command.args(["-verify_return_error"]).args(options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = command.spawn().expect("openssl");
        let mut stdin = client.stdin.take().unwrap();
        // It may have been refused already.
        let _ = stdin.write_all(input.as_bytes());
        // s_client ends at the end of its input, perhaps before an answer comes; and when the server closes, which it
        // does after the answer.
        let output = client.wait_with_output().expect("its output");
        drop(stdin);
        output
    }

    /// The same, with a certificate.
    fn openssl_as(&self, who: &str, input: &str) -> Output {
        let file = self.certificates.path(&format!("{who}.pem"));
        let file = file.to_str().unwrap();
        self.openssl(self.address(), &["-cert", file, "-key", file], input)
    }

    fn java(&self, who: &str, words: &[&str]) -> String {
        let file = |name: &str| self.certificates.path(name).display().to_string();
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.args([
            "-Dzookeeper.client.secure=true",
            "-Dzookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty",
            &format!("-Dzookeeper.ssl.keyStore.location={}", file(&format!("{who}.pem"))),
            &format!("-Dzookeeper.ssl.trustStore.location={}", file("authority.pem")),
            "-cp",
            &Environment::found().class_path_3_9(),
            "org.apache.zookeeper.ZooKeeperMain",
            "-server",
            &format!("127.0.0.1:{}", self.port),
        ]);
        let output = command.args(words).output().expect("java");
        let all = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&all).into_owned()
    }

    fn mntr(&self, name: &str) -> u64 {
        let text = self.server.four_letter("mntr");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("zk_{name}\t")));
        line.unwrap_or_else(|| panic!("no {name}:\n{text}")).parse().unwrap()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn openssl_asks_four_letter_words_over_tls() {
    for wiring in WIRINGS {
        let secured = Secured::start(&[wiring]);
        let output = secured.openssl_as("alice", "ruok");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "imok", "{}", text(&output));
        let output = secured.openssl_as("alice", "conf");
        let said = text(&output);
        assert!(said.contains(&format!("secureClientPort={}\n", secured.port)), "{said}");
        assert_eq!(secured.mntr("unsuccessful_handshake"), 0);
    }
}

#[test]
fn kazoo_uses_tls_and_its_certificate_is_its_identity() {
    for wiring in WIRINGS {
        let secured = Secured::start(&[wiring]);
        let mut command = Command::new(Environment::found().python());
        command.arg("-u").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/kazoo_tls.py"));
        command.arg(secured.address().to_string()).arg(secured.certificates.path(""));
        let output = command.output().expect("python");
        let said = text(&output);
        assert!(output.status.success() && said.contains("all is well"), "{said}");
    }
}

#[test]
fn javas_client_uses_tls_and_its_certificate_is_its_identity() {
    let secured = Secured::start(&["ringkeeper.cores=3"]);
    let said = secured.java("alice", &["whoami"]);
    assert!(said.contains("x509: CN=alice,O=Ringkeeper"), "{said}");
    let said = secured.java("alice", &["create", "/hers", "x", "auth::cdrwa"]);
    assert!(said.contains("Created /hers"), "{said}");
    // The command line splits ACLs at commas, and writes those of a name in this way.
    let said = secured.java("alice", &["getAcl", "/hers"]);
    assert!(said.contains("'x509,'CN=alice%2CO=Ringkeeper"), "{said}");
    assert!(secured.java("alice", &["get", "/hers"]).contains("\nx\n"));
    let said = secured.java("bob", &["get", "/hers"]);
    assert!(said.contains("Insufficient permission : /hers"), "{said}");
    let said = secured.java("root", &["get", "/hers"]);
    assert!(said.contains("\nx\n"), "{said}");
    let said = secured.java("root", &["whoami"]);
    assert!(said.contains("super") && said.contains("x509: CN=root,O=Ringkeeper"), "{said}");
}

#[test]
fn who_must_be_kept_out_is_refused_with_the_reason_in_the_log_alone() {
    let secured = Secured::start(&["ssl.enabledProtocols=TLSv1.3"]);
    for (who, reason) in [
        ("stranger", "UnknownIssuer"),
        ("late", "certificate expired"),
        ("early", "certificate not valid yet"),
    ] {
        let output = secured.openssl_as(who, "ruok");
        assert!(!text(&output).contains("imok"), "{who}: {}", text(&output));
        secured.server.wait_for_log(reason);
    }
    let output = secured.openssl(secured.address(), &[], "ruok");
    assert!(!text(&output).contains("imok"), "{}", text(&output));
    secured.server.wait_for_log("peer sent no certificates");
    let file = secured.certificates.path("alice.pem");
    let file = file.to_str().unwrap();
    let output =
        secured.openssl(secured.address(), &["-tls1_2", "-cert", file, "-key", file], "ruok");
    assert!(!text(&output).contains("imok"), "{}", text(&output));
    secured.server.wait_for_log("ssl.enabledProtocols, ssl.protocol");
    assert_eq!(secured.mntr("unsuccessful_handshake"), 5);
    assert_eq!(secured.mntr("outstanding_tls_handshake"), 0);
    // The server's own certificate is checked by its clients as well.
    let authority = secured.certificates.path(&format!("{OTHERS}.pem"));
    let options = ["-CAfile", authority.to_str().unwrap(), "-cert", file, "-key", file];
    let output = secured.openssl(secured.address(), &options, "ruok");
    assert!(!text(&output).contains("imok"), "{OURS}: {}", text(&output));
}

#[test]
fn clients_on_the_wrong_port_are_told_so_and_the_log_says_what_to_do() {
    let secured = Secured::start(&["ssl.clientAuth=none"]);
    let plain = secured.server.socket_addr();
    let answer = |address: SocketAddr, said: &[u8]| {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(said).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    for address in [plain, secured.address()] {
        let said = answer(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("not HTTP"), "{said}");
    }
    secured.server.wait_for_log("it sent an HTTP request");
    assert_eq!(answer(secured.address(), b"ruok"), "This port expects TLS.\n");
    let output = secured.openssl(plain, &[], "ruok");
    assert!(text(&output).contains("alert handshake failure"), "{}", text(&output));
    secured.server.wait_for_log("Clients with TLS connect to secureClientPort");
    assert_eq!(answer(secured.address(), &[0, 0, 0, 44, 0, 0, 0, 0]), "");
    secured.server.wait_for_log("zookeeper.client.secure=true");
}

#[test]
fn one_port_takes_both_where_that_is_configured() {
    for wiring in WIRINGS {
        let secured =
            Secured::start(&[wiring, "client.portUnification=true", "ssl.clientAuth=want"]);
        let address = secured.server.socket_addr();
        assert_eq!(secured.server.four_letter("ruok"), "imok");
        let output = secured.openssl(address, &[], "ruok");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "imok", "{}", text(&output));
        let output = secured.openssl_as("alice", "ruok");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "imok", "{}", text(&output));
    }
}

#[test]
fn half_handshakes_end_after_ten_seconds_and_keep_nobody_out() {
    let secured = Secured::start(&["ssl.clientAuth=none", "maxClientCnxns=0"]);
    // A record of a handshake, without its end.
    let halves: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut socket = TcpStream::connect(secured.address()).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).unwrap();
            socket
        })
        .collect();
    let begun = Instant::now();
    let output = secured.openssl(secured.address(), &[], "ruok");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "imok", "{}", text(&output));
    assert_eq!(secured.mntr("outstanding_tls_handshake"), 200);
    for mut half in halves {
        assert_eq!(half.read(&mut [0; 100]).unwrap_or(0), 0);
    }
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(8) && took < PATIENCE, "{took:?}");
    assert_eq!(secured.mntr("outstanding_tls_handshake"), 0);
    assert_eq!(secured.mntr("unsuccessful_handshake"), 200);
}

#[test]
fn more_handshakes_than_are_allowed_are_refused_and_counted() {
    let limit = "netty.server.outstandingHandshake.limit=3";
    let secured = Secured::start(&["ssl.clientAuth=none", limit]);
    let silent: Vec<TcpStream> =
        (0..3).map(|_| TcpStream::connect(secured.address()).unwrap()).collect();
    let begun = Instant::now();
    while secured.mntr("outstanding_tls_handshake") < 3 {
        assert!(begun.elapsed() < PATIENCE, "they are not counted");
    }
    let mut refused = TcpStream::connect(secured.address()).unwrap();
    refused.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(refused.read(&mut [0; 10]).unwrap_or(0), 0);
    assert_eq!(secured.mntr("tls_handshake_exceeded"), 1);
    silent.iter().for_each(|socket| socket.shutdown(Shutdown::Both).unwrap());
    while secured.mntr("outstanding_tls_handshake") > 0 {
        assert!(begun.elapsed() < PATIENCE, "they are not gone");
    }
    let output = secured.openssl(secured.address(), &[], "ruok");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "imok", "{}", text(&output));
}

#[test]
fn a_storm_of_handshakes_delays_the_others_little() {
    let secured = Secured::start(&["ssl.clientAuth=none", "maxClientCnxns=0"]);
    let mut storm = Command::new("openssl");
    storm.args(["s_time", "-new", "-time", "3", "-connect", &secured.address().to_string()]);
    storm.stdout(Stdio::null()).stderr(Stdio::null());
    let storms: Vec<Guarded> = (0..4).map(|_| Guarded::spawn(&mut storm, None).unwrap()).collect();
    let mut waits: Vec<Duration> = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        let asked = Instant::now();
        assert_eq!(secured.server.four_letter("ruok"), "imok");
        waits.push(asked.elapsed());
    }
    drop(storms);
    waits.sort_unstable();
    // The machine is busy with the storm itself.
    let usual = waits[waits.len() / 2];
    assert!(usual < Duration::from_millis(50), "{usual:?} of {}", waits.len());
}

#[test]
fn new_certificates_are_taken_without_a_restart_and_broken_ones_are_not() {
    let secured = Secured::start(&["ssl.clientAuth=none"]);
    let file = secured.certificates.path("server.pem");
    std::fs::write(&file, "no certificate").unwrap();
    secured.server.wait_for_log("the new files cannot be used");
    let output = secured.openssl(secured.address(), &[], "ruok");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "imok", "{}", text(&output));
    std::fs::copy(secured.certificates.path("bob.pem"), &file).unwrap();
    secured.server.wait_for_log("the certificate of this server is CN=bob,O=Ringkeeper");
    let output = secured.openssl(secured.address(), &[], "ruok");
    assert!(
        text(&output).contains("CN = bob") || text(&output).contains("CN=bob"),
        "{}",
        text(&output)
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "imok", "{}", text(&output));
}

#[test]
fn a_revoked_certificate_is_refused_and_a_new_list_counts_without_a_restart() {
    let certificates = Certificates::new();
    let lists = certificates.revoke(&["bob"]);
    let line = format!("ringkeeper.ssl.crl.location={}", lists.display());
    let secured = Secured::start_with(certificates, &[&line, "ssl.crl=true"]);
    let asks = |who: &str| text(&secured.openssl_as(who, "ruok"));
    assert!(asks("alice").contains("imok"));
    let answer = asks("bob");
    assert!(!answer.contains("imok") && !answer.contains("revoked"), "{answer}");
    secured.server.wait_for_log("it is revoked: a list of its issuer");
    secured
        .server
        .wait_for_log("a list says which certificates CN=authority,O=Ringkeeper has revoked");
    // What cannot be used is said, and changes nothing.
    std::fs::write(&lists, "no list").unwrap();
    secured.server.wait_for_log("ringkeeper.ssl.crl.location");
    assert!(!asks("bob").contains("imok") && asks("alice").contains("imok"));
    secured.certificates.revoke(&["alice"]);
    secured.server.reload_certificates();
    secured.server.wait_for_log("SIGUSR1: reading the certificates again");
    let begun = Instant::now();
    while asks("alice").contains("imok") {
        assert!(begun.elapsed() < PATIENCE, "{}", secured.server.log_tail(40));
    }
    assert!(asks("bob").contains("imok"));
    assert!(secured.mntr("client_tls_certificate_days_left") > 20_000);
    assert!(!secured.server.four_letter("mntr").contains("quorum_tls_certificate_days_left"));
}

#[test]
fn a_client_must_connect_from_the_address_in_its_certificate_if_that_is_demanded() {
    let secured = Secured::start(&["ssl.clientHostnameVerification=true"]);
    let output = secured.openssl_as("alice", "ruok");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "imok", "{}", text(&output));
    let output = secured.openssl_as("elsewhere", "ruok");
    assert!(!text(&output).contains("imok"), "{}", text(&output));
    secured.server.wait_for_log(
        "its client's certificate names elsewhere.example, and not 127.0.0.1, from where it connects",
    );
}

#[test]
fn a_hangup_reloads_the_certificates_of_a_server_that_was_started_without_a_terminal() {
    let mut secured = Secured::start(&[]);
    secured.server.kill();
    let folder = secured.server.folder().to_owned();
    // As `nohup` and `zkServer.sh start` do it.
    let mut child = Command::new("bash")
        .args(["-c", "trap '' HUP; exec \"$0\" server zoo.cfg"])
        .arg(env!("CARGO_BIN_EXE_ringkeeper"))
        .current_dir(&folder)
        .stderr(std::fs::File::create(folder.join("hangup.log")).unwrap())
        .spawn()
        .unwrap();
    let log = || std::fs::read_to_string(folder.join("hangup.log")).unwrap();
    let wait = |words: &str| {
        let begun = Instant::now();
        while !log().contains(words) {
            assert!(begun.elapsed() < PATIENCE, "{words}:\n{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait("serving clients");
    let pid = rustix::process::Pid::from_child(&child);
    let send = |signal| rustix::process::kill_process(pid, signal).unwrap();
    send(rustix::process::Signal::HUP);
    wait("SIGHUP: reading the certificates again");
    wait("the files are as they were");
    assert!(child.try_wait().unwrap().is_none(), "{}", log());
    send(rustix::process::Signal::TERM);
    assert!(child.wait().unwrap().success(), "{}", log());
}
