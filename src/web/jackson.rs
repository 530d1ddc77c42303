//! JSON in the form of Jackson's pretty printer, which ZooKeeper's AdminServer uses.
//!
//! ```text
//! {
//!   "connections" : [ {
//!     "session_id" : 5
//!   } ],
//!   "secure_connections" : [ ],
//!   "error" : null
//! }
//! ```
//! Scripts cut it with `grep` and `sed`, so blanks and line ends count.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// The value as text.
pub fn text(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    let mut to = Serializer::with_formatter(&mut out, Pretty::default());
    value
        .serialize(&mut to)
        .expect("the types of the reports have keys of text, and memory takes everything");
    String::from_utf8(out).expect("serde_json writes UTF-8")
}

/// `DefaultPrettyPrinter`: objects have a line for each entry; arrays stay in the line.
#[derive(Default)]
struct Pretty {
    /// Objects that are open.
    depth: usize,
    /// Whether the innermost object or array has an entry.
    has_value: bool,
}

impl Pretty {
    fn line<W: ?Sized + Write>(&self, out: &mut W) -> io::Result<()> {
        out.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| out.write_all(b"  "))
    }
}

impl Formatter for Pretty {
    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        out.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if !first {
            out.write_all(b",")?;
        }
        self.line(out)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b" : ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth -= 1;
        match self.has_value {
            true => self.line(out)?,
            false => out.write_all(b" ")?,
        }
        out.write_all(b"}")
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.has_value = false;
        out.write_all(b"[ ")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.has_value = false;
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        // The blank of an empty one was written at its beginning.
        out.write_all(if self.has_value { b" ]" } else { b"]" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_text_is_that_of_jackson() {
        // Single keys, because the order of several is not that of the text here.
        let value = json!({ "connections": [ { "a": { "b": [ 1, 2 ] } }, { "c": {} } ] });
        assert_eq!(
            text(&value),
            "{\n  \"connections\" : [ {\n    \"a\" : {\n      \"b\" : [ 1, 2 ]\n    }\n  }, {\n    \"c\" : { }\n  } ]\n}"
        );
        assert_eq!(text(&json!({ "observers": [] })), "{\n  \"observers\" : [ ]\n}");
        assert_eq!(text(&json!([])), "[ ]");
        assert_eq!(text(&json!([[], 2.0, null, "a\"\n"])), "[ [ ], 2.0, null, \"a\\\"\\n\" ]");
    }
}
