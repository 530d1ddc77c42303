//! The keys of TLS, which are read together.

use ringkeeper::config::{ClientAuth, Password};
use ringkeeper::tls::names::Protocol;
use ringkeeper::tls::stores::StoreKind;

use super::*;

const STORES: &str = "secureClientPort=2281\nssl.keyStore.location=/k.p12\nssl.keyStore.password=geheim\n\
                      ssl.trustStore.location=/t\nssl.trustStore.type=pem\n";

#[test]
fn a_secure_port_has_stores_and_the_defaults_of_zookeeper() {
    let config = good(cfg(STORES));
    assert_eq!(notes(&config), Vec::<String>::new());
    let tls = &config.tls;
    assert!(tls.serves_clients());
    assert_eq!(tls.secure_client.as_ref().unwrap().to_string(), "[::]:2281");
    let key = tls.client.key_store.as_ref().unwrap();
    assert_eq!((key.path.to_str(), key.kind), (Some("/k.p12"), StoreKind::Pkcs12));
    assert_eq!(tls.client.trust_store.as_ref().unwrap().kind, StoreKind::Pem);
    assert_eq!(tls.client.protocols, [Protocol::Tls13, Protocol::Tls12]);
    assert_eq!(tls.client.client_auth, ClientAuth::Need);
    assert!(!tls.client.client_hostname_verification && tls.quorum.client_hostname_verification);
    assert!(!format!("{config:?}").contains("geheim"));
    let config = good(cfg(&format!("{STORES}ssl.keyStore.passwordPath=/p\n")));
    let key = config.tls.client.key_store.unwrap();
    assert_eq!(key.password, Password::File("/p".into()), "the file counts before the key");
}

#[test]
fn a_server_may_serve_clients_with_tls_alone() {
    let alone = |lines: &str| file_with("zoo.cfg", &format!("dataDir=/d\n{lines}"), &[], &[]);
    let config = good(alone(STORES));
    assert_eq!(config.network.client, None);
    assert_eq!(config.tls.secure_client.unwrap().port, 2281);
    let error = error(alone("secureClientPort=0\n"));
    assert!(error.text.contains("no client could connect"), "{error}");
}

#[test]
fn names_of_java_become_what_exists_here() {
    let config = good(cfg(&format!(
        "{STORES}ssl.enabledProtocols=TLSv1.1,TLSv1.2\nssl.hostnameVerification=false\n\
         ssl.ciphersuites=TLS_RSA_WITH_AES_128_CBC_SHA,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n\
         ssl.clientHostnameVerification=true\nssl.clientAuth=WANT\n"
    )));
    let side = &config.tls.client;
    assert_eq!(side.protocols, [Protocol::Tls12]);
    assert_eq!(side.cipher_suites.as_ref().unwrap().len(), 1);
    assert_eq!(side.client_auth, ClientAuth::Want);
    assert!(!side.client_hostname_verification, "without the one, not the other");
    let notes = notes(&config);
    assert!(notes.iter().any(|it| it.contains("TLSv1.1 do not exist here")), "{notes:?}");
    assert!(notes.iter().any(|it| it.contains("TLS_RSA_WITH_AES_128_CBC_SHA do not")), "{notes:?}");
}

#[test]
fn crl_is_true_only_with_a_file_of_lists() {
    let lists = "ssl.crl=true\nringkeeper.ssl.crl.location=/lists.pem\n";
    let config = good(cfg(&format!("{STORES}{lists}")));
    let side = &config.tls.client;
    assert!(side.demands_revocation_list);
    assert_eq!(side.revocation_lists.as_deref(), Some(std::path::Path::new("/lists.pem")));
    assert_eq!(notes(&config), [""; 0]);
    let alone = good(cfg(&format!("{STORES}ringkeeper.ssl.quorum.crl.location=/lists.pem\n")));
    assert!(!alone.tls.quorum.demands_revocation_list);
    assert!(alone.tls.quorum.revocation_lists.is_some());
    // Without a store of issuers nobody is checked.
    let keys = "secureClientPort=2281\nssl.keyStore.location=/k.pem\nssl.clientAuth=none\n";
    let unused = good(cfg(&format!("{keys}{lists}")));
    assert!(notes(&unused).iter().any(|it| it.contains("no effect")), "{:?}", notes(&unused));
}

#[test]
fn a_client_s_certificate_must_name_its_address_where_that_is_configured() {
    let config = good(cfg(&format!("{STORES}ssl.clientHostnameVerification=true\n")));
    assert!(config.tls.client.client_hostname_verification);
    assert!(!good(cfg(STORES)).tls.client.client_hostname_verification);
}

#[test]
fn what_a_secure_port_lacks_is_an_error_and_without_a_port_at_most_a_warning() {
    for (lines, key, word) in [
        ("ssl.clientAuth=none\n", "ssl.keyStore.location", "required for TLS"),
        ("ssl.keyStore.location=/k.pem\n", "ssl.trustStore.location", "ssl.clientAuth to none"),
        (
            "ssl.keyStore.location=/k\nssl.clientAuth=none\n",
            "ssl.keyStore.location",
            "PKCS12 or JKS",
        ),
        (
            "ssl.keyStore.location=/k.pem\nssl.clientAuth=none\nssl.protocol=SSLv3\n",
            "ssl.protocol",
            "broken",
        ),
        (
            "ssl.keyStore.location=/k.pem\nssl.clientAuth=none\nssl.ciphersuites=AES\n",
            "ssl.ciphersuites",
            "no cipher suite",
        ),
        (
            "ssl.keyStore.location=/k.pem\nssl.trustStore.location=/k.pem\nssl.crl=true\n",
            "ssl.crl",
            "ringkeeper.ssl.crl.location is not set",
        ),
    ] {
        let error = error(cfg(&format!("secureClientPort=2281\n{lines}")));
        assert!(error.key == key && error.text.contains(word), "{error}");
        let unused = good(cfg(lines));
        assert!(notes(&unused).len() <= 1, "{:?}", notes(&unused));
    }
    let error = error(cfg("secureClientPortAddress=::1\n"));
    assert!(error.text.contains("secureClientPort is not"), "{error}");
}

#[test]
fn x509_exists_where_a_port_takes_tls_and_can_be_demanded_where_it_asks_for_certificates() {
    let demand = "enforce.auth.enabled=true\nenforce.auth.schemes=x509\n";
    let config = good(cfg(&format!("{STORES}{demand}")));
    assert!(config.security.x509_enabled);
    assert!(!good(cfg("")).security.x509_enabled);
    let provider = "authProvider.1=org.apache.zookeeper.server.auth.X509AuthenticationProvider\n";
    let provided = good(cfg(provider));
    assert!(provided.security.x509_enabled && notes(&provided).is_empty());
    for lines in [format!("{provider}{demand}"), format!("{STORES}ssl.clientAuth=none\n{demand}")] {
        let error = error(cfg(&lines));
        assert!(error.text.contains("needs a port that takes TLS"), "{error}");
    }
}

const SERVERS: &str = "server.1=a:1:2\nserver.2=b:1:2\ninitLimit=5\nsyncLimit=2\n";

#[test]
fn servers_that_use_tls_need_stores_and_a_server_without_others_does_not() {
    let check = |lines: &str| {
        let text = format!("dataDir=/d\nclientPort=2181\n{SERVERS}{lines}");
        file_with("zoo.cfg", &text, &[], &[("/d/myid", "1")])
    };
    let key = "ssl.quorum.keyStore.location=/k.pem\n";
    let stores = format!("{key}ssl.quorum.trustStore.location=/t.pem\n");
    for switch in ["sslQuorum=true\n", "portUnification=true\n"] {
        let tls = good(check(&format!("{switch}{stores}"))).tls;
        assert!(tls.serves_servers());
        assert_eq!(tls.quorum_uses_tls, switch.starts_with('s'));
        assert_eq!(tls.quorum.client_auth, ClientAuth::Need);
        assert!(tls.quorum.hostname_verification && tls.quorum.client_hostname_verification);
        assert_eq!(error(check(&format!("{switch}{key}"))).key, "ssl.quorum.trustStore.location");
        assert_eq!(notes(&good(cfg(switch))), Vec::<String>::new(), "there is nobody to speak to");
    }
    let unasked = format!("{key}ssl.quorum.clientAuth=none\n");
    let needed = error(check(&format!("sslQuorum=true\n{unasked}")));
    assert!(needed.text.contains("to which this one connects"), "{needed}");
    good(check(&format!("portUnification=true\n{unasked}")));
}
