//! Clients over TLS that send records which none should send.

use super::*;

#[test]
fn hostile_records_end_the_connection_and_nothing_else() {
    let long = [&[23, 3, 3, 0xff, 0xff][..], &[0; 70_000]].concat();
    let renegotiation = [22, 3, 3, 0, 4, 1, 0, 0, 0].repeat(3);
    for (what, bytes) in [
        ("plaintext", &b"\0\0\0\x04ruok"[..]),
        ("a record that is too long", &long),
        ("a record that is not encrypted", &[23, 3, 3, 0, 5, 1, 2, 3, 4, 5]),
        ("a second hello", &renegotiation),
        ("a record of an unknown type", &[99, 3, 3, 0, 1, 0]),
        ("an alert", &[21, 3, 3, 0, 2, 2, 0]),
    ] {
        for version in rustls::ALL_VERSIONS {
            let bench = Bench::usual();
            let (_connection, mut client) = bench.secure_with(client_config(false, &[version]));
            bench.shake(&mut client);
            client.send(&frame(1));
            bench.until(&mut client, "the frame", |_| !bench.core.frames.borrow().is_empty());
            let _ = client.socket.write(bytes);
            bench.until(&mut client, what, |_| bench.core.closed.get() == 1);
            assert_eq!(*bench.core.frames.borrow(), frame(1), "{what}");
            assert!(bench.table.is_empty(), "{what}");
        }
    }
}

#[test]
fn frames_before_a_hostile_record_count() {
    let bench = Bench::usual();
    let (_connection, mut client) = bench.secure();
    bench.shake(&mut client);
    client.tls.writer().write_all(&frame(5)).unwrap();
    let mut cipher = Vec::new();
    client.tls.write_tls(&mut cipher).unwrap();
    cipher.extend_from_slice(&[23, 3, 3, 0, 20]);
    cipher.resize(cipher.len() + 20, 1);
    client.socket.write_all(&cipher).unwrap();
    bench.until(&mut client, "its end", |_| bench.core.closed.get() == 1);
    assert_eq!(*bench.core.frames.borrow(), frame(5));
}

#[test]
fn a_flood_of_requests_for_new_keys_ends_the_connection_and_some_of_them_do_not() {
    let bench = Bench::usual();
    let (connection, mut client) = bench.secure();
    bench.shake(&mut client);
    for _ in 0..20 {
        client.tls.refresh_traffic_keys().unwrap();
        client.send(&frame(1));
    }
    bench.until(&mut client, "frames", |_| bench.core.frames.borrow().len() == 20 * 5);
    let conn = connection.id;
    bench.table.deliver(Outgoing { conn, bytes: b"answer".into(), ..Outgoing::default() });
    bench.until(&mut client, "the answer", |client| client.got == b"answer");
    for _ in 0..1000 {
        if client.tls.refresh_traffic_keys().is_err() {
            break;
        }
        client.work();
        assert!(connection.socket.unsent_bytes() <= limits::CIPHERTEXT_UNSENT_BYTES_MAX);
    }
    bench.until(&mut client, "the end", |_| bench.core.closed.get() == 1);
}
