//! Rows about the audit log.

use std::path::PathBuf;

use super::super::value::{Below, Form, Kind, Value};
use super::row::*;
use super::{Acted, Fate, Key, Place, Set, Theme, Verdict, fine};

/// The class of ZooKeeper's audit lines.
const LOGGER: &str = "org.apache.zookeeper.audit.Slf4jAuditLogger";

// ZooKeeper: ZKAuditProvider cannot start without the class, and its server ends.
fn logger(value: &Value) -> Verdict {
    match value {
        Value::Text(class) if class != LOGGER => Verdict::Warn(
            "NO CLASS CAN BE LOADED HERE: the lines of ZooKeeper's Slf4jAuditLogger are written instead, where \
             ringkeeper.audit.file says"
                .into(),
        ),
        _ => Verdict::Fine,
    }
}

pub(super) static KEYS: &[Key] = &[
    prop(Theme::Security, "audit.enable", Kind::Bool, "false", plain!(Bool, audit.is_enabled)).about(
        "write a line for each change that a client of this server makes or is refused, and for the start and the end \
         of the server, as ZooKeeper does; docs/audit.md describes the lines",
    ),
    Key::new(
        Theme::Security,
        Place::Property,
        "audit.impl.class",
        Kind::Text,
        Fate::Acted(Acted {
            set: Set::Together,
            get: |_| LOGGER.to_owned(),
            about: "the form of these lines; there is one, that of Slf4jAuditLogger",
            verdict: logger,
        }),
    )
    .default(LOGGER),
    own(
        "ringkeeper.audit.file",
        Kind::Path,
        "",
        Fate::Acted(Acted {
            set: Set::Text(|config, path| config.audit.file = Some(PathBuf::from(path))),
            get: |config| {
                config.audit.file.as_ref().map_or(String::new(), |file| file.display().to_string())
            },
            about: "",
            verdict: fine,
        }),
    )
    .about("file of the audit log, in a folder that exists; not set: standard output"),
    own(
        "ringkeeper.audit.fileBytesMax",
        Kind::Int { min: 1 << 20, max: 1 << 40, form: Form::Based, below: Below::Refuse },
        "10485760",
        number!(audit.file_bytes_max),
    )
    .about(
        "size at which that file is put aside under its name with .1 at the end, and older ones get the next number",
    )
    .unit("bytes"),
    own(
        "ringkeeper.audit.filesKept",
        Kind::Int { min: 1, max: 1000, form: Form::Decimal, below: Below::Refuse },
        "10",
        number!(audit.files_kept),
    )
    .about("how many files that were put aside are kept; the oldest is deleted"),
];
