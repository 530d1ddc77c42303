//! `openssl s_client`, which carries the frames of a session that this file writes.

use std::net::SocketAddr;
use std::process::Command;

use ringkeeper::proto::OpCode;
use ringkeeper::proto::data::{AclEntry, Id};
use ringkeeper::proto::request::RequestBody;

use crate::cells::Visit;
use crate::ground::{Place, run};
use crate::raw;

/// Makes the node, and closes the session, whereupon the server closes and the client ends.
pub fn visit(visit: &Visit<'_>) -> String {
    let mut acl = raw::open_acl();
    if visit.way.is_private() {
        acl = raw::Acl::default();
        acl.push(&AclEntry { perms: 31, id: Id { scheme: Some("auth"), id: Some("") } });
    }
    let create = raw::create(&visit.path, visit.data.as_bytes(), &acl, 0);
    let frames = [
        raw::connect_frame(10_000),
        raw::request_frame(1, OpCode::Create, &create),
        raw::request_frame(2, OpCode::GetData, &raw::get(&visit.path, false)),
        raw::request_frame(3, OpCode::CloseSession, &RequestBody::Empty),
    ];
    let mut options = Vec::new();
    let file = visit.way.certificate.map(|who| visit.place.certificate(who));
    if let Some(file) = &file {
        options.extend(["-cert", file, "-key", file]);
    }
    talk(visit.place, visit.door.secure, &options, &frames.concat())
}

/// Sends `input` with these options, and returns all output.
pub fn talk(place: &Place, address: SocketAddr, options: &[&str], input: &[u8]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-no_ign_eof", "-connect", &address.to_string()]);
    command.args(["-CAfile", &place.certificate("authority"), "-verify_return_error"]);
    run(command.args(options), input)
}
