//! Files beside the configuration that ZooKeeper's scripts source, such as `java.env`: Ringkeeper does
//! not read them, and an operator who set properties there would not notice.
//!
//! The files are shell scripts, which are not executed here: any text that looks like a `-D` word
//! outside a comment line counts as one.
//!
//! What it finds are notes and never errors: whether a script would have come to a word is not known here.
//!
//! ```text
//! java.env:3   export SERVER_JVMFLAGS="-Dzookeeper.snapCount=1000 $JVMFLAGS"
//! note         java.env:3: -Dzookeeper.snapCount: has no effect here, …: write snapCount=1000 into zoo.cfg, or …
//! ```

use std::path::Path;

use super::document::Format;
use super::keys::{Fate, Key, OWN_PREFIX, Place};
use super::origin::{Level, Origin, Problem, printable};
use super::read::{ReadFile, Reading, Resolved, resolve_flag, where_it_counts};
use super::value::Raw;
use crate::limits::{SHELL_FILE_BYTES_MAX, SHELL_WORDS_SAID_MAX};

/// Those of `zkEnv.sh`, in the order in which it sources them, and Debian's.
const FILES: [&str; 3] = ["zookeeper-env.sh", "java.env", "environment"];

/// Reports which properties such files would have set.
pub(super) fn look(reading: &mut Reading, read_file: &mut Option<ReadFile<'_>>) {
    let (Some(read_file), Some(file)) = (read_file, reading.file.clone()) else { return };
    for name in FILES {
        let path = Path::new(&file).with_file_name(name);
        let origin = Origin::file(&path.display().to_string());
        let unread = |reading: &mut Reading, why: String| {
            let text = format!(
                "{why}, so -D words in it were not looked for; they have no effect here: only \
                 ZooKeeper's own scripts read this file"
            );
            reading.note(Level::Warn, &origin, "", text);
        };
        match read_file(&path) {
            Ok(None) => {}
            Ok(Some(bytes)) if bytes.len() > SHELL_FILE_BYTES_MAX => {
                unread(reading, format!("more than {SHELL_FILE_BYTES_MAX} bytes"));
            }
            Ok(Some(bytes)) => look_into(reading, &file, &origin, &bytes),
            Err(why) => unread(reading, format!("cannot be read ({why})")),
        }
    }
}

/// Reports the words of one file, [`SHELL_WORDS_SAID_MAX`] at most.
fn look_into(reading: &mut Reading, file: &str, origin: &Origin, bytes: &[u8]) {
    let format = Format::of_name(file);
    let mut said = 0;
    for (line, text) in (1..).zip(String::from_utf8_lossy(bytes).lines()) {
        if text.trim_start().starts_with('#') {
            continue;
        }
        // Quotes and command substitution end a word here. A value with a blank in quotes is cut, and shown so.
        let ends = |c: char| c.is_whitespace() || "\"';`".contains(c);
        // JVMFLAGS=-Da=b is also one word.
        let flag = |word: &str| match word.strip_prefix("-D") {
            Some(flag) => Some(flag.to_owned()),
            None => word.split_once("=-D").map(|(_, flag)| flag.to_owned()),
        };
        for word in text.split(ends).filter_map(flag) {
            // What no row knows is an option for the JVM or a library, and no business of this server.
            let (name, value) = word.split_once('=').unwrap_or((&word, ""));
            let Some(Resolved::Key(key, canonical)) = resolve_flag(name) else { continue };
            if changes_nothing(reading, key, &canonical, value) {
                continue;
            }
            said += 1;
            if said > SHELL_WORDS_SAID_MAX {
                let text = "further -D words in it have no effect either".to_owned();
                return reading.note(Level::Warn, origin, "", text);
            }
            // The same file, with the line of the word.
            let origin = match origin {
                Origin::File { name, .. } => Origin::File { name: name.clone(), line },
                other => other.clone(),
            };
            let advice = advice(key, name, &canonical, value, file, format);
            // CLIENT_JVMFLAGS is for ZooKeeper's shell, which logs in with a JAAS file of its own.
            let is_demand = demands_login(&canonical, value) && !text.contains("CLIENT_JVMFLAGS");
            if is_demand {
                // Whoever wrote it wants no client that has not logged in.
                reading.error(Problem::Refused, &origin, &format!("-D{name}"), None, advice);
            } else {
                reading.note(Level::Warn, &origin, &format!("-D{name}"), advice);
            }
        }
    }
}

/// Whether a word asks that clients log in: a server that ignored it would serve everybody.
fn demands_login(canonical: &str, value: &str) -> bool {
    match canonical {
        "java.security.auth.login.config" => true,
        "sessionRequireClientSASLAuth" | "enforce.auth.enabled" => {
            !value.eq_ignore_ascii_case("false")
        }
        _ => false,
    }
}

/// Whether a word would change nothing: it has no meaning here, its value for an unbuilt part is not
/// refused, or its value is in force anyway.
fn changes_nothing(reading: &Reading, key: &Key, canonical: &str, value: &str) -> bool {
    let read = key.kind.read(&Raw::Text(value.to_owned())).ok();
    match key.fate {
        Fate::Meaningless(_) => true,
        Fate::Refused { harmless, .. } if read.as_ref().is_some_and(harmless) => true,
        Fate::Acted(_) | Fate::Unbuilt(_) | Fate::Refused { .. } => {
            // The same key with the same value is in the file, or in a variable that counts: nothing is lost.
            let in_force = reading.values.get(canonical).map(|accepted| &accepted.value);
            in_force.is_some() && in_force == read.as_ref()
        }
    }
}

/// What to do instead: where Ringkeeper reads this property, and how it is written there.
fn advice(
    key: &Key,
    name: &str,
    canonical: &str,
    value: &str,
    file: &str,
    format: Format,
) -> String {
    // The value that the shell would insert is not known here.
    let value = match key.secret || value.contains(['$', '`']) {
        true => "…".to_owned(),
        false => printable(value),
    };
    let written = match key.place {
        Place::Bare if format == Format::ZooCfg => format!("{OWN_PREFIX}{canonical}"),
        Place::Bare | Place::File | Place::Property | Place::PropertyOrBare | Place::Own => {
            canonical.to_owned()
        }
    };
    let elsewhere = format!(
        "write {written}={value} into {file}, or put -D{name}={value} into SERVER_JVMFLAGS in the \
         environment of the server"
    );
    format!(
        "has no effect here, for only ZooKeeper's own scripts read this file: {}",
        where_it_counts(key, elsewhere)
    )
}
