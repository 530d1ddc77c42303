//! Makes a node, and reads it back, as a client that uses TLS, a certificate or DIGEST-MD5.
//!
//! Arguments after the address: `PATH DATA`, then any of `--authority FILE` (TLS; whom to trust, PEM), `--identity FILE`
//! (a certificate and its key, PEM), `--login USER:PASSWORD` (DIGEST-MD5), `--private` (the node is for its creator
//! alone). Prints `read DATA`, or `refused: ` and the error of the crate.

use std::fs;
use std::time::Duration;

use zookeeper_client::{Acls, Client, Connector, CreateMode, SaslOptions, TlsOptions};

use crate::Outcome;

pub async fn make_node(address: &str, mut words: impl Iterator<Item = String>) -> Outcome {
    let path = words.next().ok_or("no path")?;
    let data = words.next().ok_or("no data")?;
    let mut connector = Client::connector().with_session_timeout(Duration::from_secs(5));
    let (mut tls, mut acls) = (None, Acls::anyone_all());
    while let Some(option) = words.next() {
        if option == "--private" {
            acls = Acls::creator_all();
            continue;
        }
        let value = words.next().ok_or("an option without a value")?;
        match &option[..] {
            "--authority" => {
                tls = Some(TlsOptions::default().with_pem_ca(&fs::read_to_string(value)?)?);
            }
            "--identity" => {
                let both = fs::read_to_string(value)?;
                let options = tls.take().ok_or("--identity follows --authority")?;
                tls = Some(options.with_pem_identity(&both, &both)?);
            }
            "--login" => {
                let (user, password) = value.split_once(':').ok_or("USER:PASSWORD")?;
                let login = SaslOptions::digest_md5(user.to_owned(), password.to_owned());
                connector = connector.with_sasl(login);
            }
            _ => return Err(format!("{option}: no such option").into()),
        }
    }
    match make_and_read(connector, tls, address, &path, data.as_bytes(), acls).await {
        Ok(read) => println!("read {}", String::from_utf8_lossy(&read)),
        Err(error) => println!("refused: {error:?}"),
    }
    Ok(())
}

async fn make_and_read(
    connector: Connector,
    tls: Option<TlsOptions>,
    address: &str,
    path: &str,
    data: &[u8],
    acls: Acls<'_>,
) -> Result<Vec<u8>, zookeeper_client::Error> {
    // Without more attempts, so that a refusal ends the program.
    let connector = connector.with_fail_eagerly();
    let client = match tls {
        None => connector.connect(address).await?,
        Some(options) => connector.with_tls(options).secure_connect(address).await?,
    };
    client.create(path, data, &CreateMode::Persistent.with_acls(acls)).await?;
    Ok(client.get_data(path).await?.0)
}
