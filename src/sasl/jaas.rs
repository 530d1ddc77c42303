//! The JAAS file (`java.security.auth.login.config`): which login modules each section names, with their options.
//!
//! ```text
//! Server {
//!     org.apache.zookeeper.server.auth.DigestLoginModule required
//!     user_alice="password";
//! };
//! ```
//! The grammar is that of the JDK's `ConfigFile`. An error names the line and never a value, because a value may be
//! a password. What the JDK reads and certainly nobody means, such as a quote without an end, is an error here.

mod words;

use zeroize::Zeroizing;

use super::secret::Secret;
use crate::limits::{JAAS_FILE_BYTES_MAX, JAAS_MODULES_MAX, JAAS_SECTIONS_MAX};
use words::{Word, Words};

/// The sections of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JaasFile {
    sections: Vec<Section>,
}

/// A section: what one program, or one side of a connection, uses to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    name: String,
    /// Where its name stands.
    pub line: u32,
    /// At least one.
    modules: Vec<LoginModule>,
}

/// A login module with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginModule {
    /// The name of its Java class.
    pub class: String,
    /// Where that name stands.
    pub line: u32,
    options: Vec<(String, Secret)>,
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct JaasError {
    /// The line, from 1; 0: the whole file.
    pub line: u32,
    /// What is wrong there, as a clause.
    pub what: String,
}

impl JaasFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It does not follow the grammar, or it is longer than anybody writes.
    pub fn read(bytes: &[u8]) -> Result<JaasFile, JaasError> {
        if bytes.len() > JAAS_FILE_BYTES_MAX {
            return Err(JaasError {
                line: 0,
                what: format!("it is longer than {JAAS_FILE_BYTES_MAX} bytes"),
            });
        }
        // The JDK replaces malformed letters too. In a comment they do no harm, and a word with one is refused.
        let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
        let mut parser = Parser::new(&text)?;
        let mut sections: Vec<Section> = Vec::new();
        while parser.next != Word::End {
            let Some(section) = parser.section()? else { continue };
            if sections.iter().any(|earlier| earlier.name == section.name) {
                let what = format!("the section {:?} stands twice", section.name);
                return Err(JaasError { line: section.line, what });
            }
            sections.push(section);
            if sections.len() > JAAS_SECTIONS_MAX {
                let what = format!("more than {JAAS_SECTIONS_MAX} sections");
                return Err(JaasError { line: parser.line, what });
            }
        }
        Ok(JaasFile { sections })
    }

    /// The section of a name, which is compared exactly.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The names of all sections.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|section| &*section.name)
    }
}

impl LoginModule {
    /// Its options, as they stand in the file.
    pub fn options(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.options.iter().map(|(name, value)| (&**name, value))
    }
}

impl Section {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its login modules.
    pub fn modules(&self) -> &[LoginModule] {
        &self.modules
    }

    /// The options of all its modules.
    pub fn options(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.modules.iter().flat_map(LoginModule::options)
    }
}

struct Parser<'t> {
    words: Words<'t>,
    /// The word that is looked at, and its line.
    next: Word,
    line: u32,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Result<Parser<'t>, JaasError> {
        let mut parser = Parser { words: Words::of(text), next: Word::End, line: 1 };
        parser.advance()?;
        Ok(parser)
    }

    /// A section. `None`: it has no login module, which is as if it were not there.
    fn section(&mut self) -> Result<Option<Section>, JaasError> {
        let line = self.line;
        let name = self.text("the name of a section")?.as_str().to_owned();
        self.sign('{')?;
        let mut modules = Vec::new();
        while self.next != Word::Sign('}') {
            modules.push(self.module()?);
            if modules.len() > JAAS_MODULES_MAX {
                return self
                    .wrong(format!("more than {JAAS_MODULES_MAX} login modules in a section"));
            }
        }
        self.sign('}')?;
        self.sign(';')?;
        Ok((!modules.is_empty()).then_some(Section { name, line, modules }))
    }

    fn module(&mut self) -> Result<LoginModule, JaasError> {
        let line = self.line;
        let class = self.text("the class of a login module, or }")?.as_str().to_owned();
        const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];
        let flag_line = self.line;
        let flag = self.text("required, requisite, sufficient or optional")?;
        if !FLAGS.iter().any(|known| known.eq_ignore_ascii_case(&flag)) {
            // The word before may be a piece of a password whose quotes were forgotten, and is not shown.
            let what =
                format!("behind the class of a login module stands none of {}", FLAGS.join(", "));
            return Err(JaasError { line: flag_line, what });
        }
        let mut options = Vec::new();
        while self.next != Word::Sign(';') {
            let name = self.text("the name of an option, or ;")?.as_str().to_owned();
            self.sign('=')?;
            let line = self.line;
            let value = self.text(
                "the value of an option; unless it is letters and digits, put it in \"quotes\"",
            )?;
            let value = expanded(&value).map_err(|what| JaasError { line, what })?;
            options.push((name, Secret::new(&value)));
        }
        self.sign(';')?;
        Ok(LoginModule { class, line, options })
    }

    fn text(&mut self, expected: &str) -> Result<Zeroizing<String>, JaasError> {
        match std::mem::replace(&mut self.next, Word::End) {
            Word::Text(text) => {
                self.advance()?;
                Ok(text)
            }
            Word::Sign(sign) => {
                self.wrong(format!("{sign:?} stands where this is expected: {expected}"))
            }
            Word::End => self.wrong(format!("the file ends where this is expected: {expected}")),
        }
    }

    fn sign(&mut self, expected: char) -> Result<(), JaasError> {
        match self.next {
            Word::Sign(sign) if sign == expected => self.advance(),
            Word::Sign(sign) => self.wrong(format!("{sign:?} stands where {expected} is expected")),
            // It may be a password without quotes.
            Word::Text(_) => self.wrong(format!("a word stands where {expected} is expected")),
            Word::End => self.wrong(format!("the file ends where {expected} is expected")),
        }
    }

    fn advance(&mut self) -> Result<(), JaasError> {
        let (line, word) = self.words.take();
        self.line = line;
        self.next = word.map_err(|what| JaasError { line, what })?;
        Ok(())
    }

    fn wrong<T>(&self, what: String) -> Result<T, JaasError> {
        Err(JaasError { line: self.line, what })
    }
}

/// A value with its `${/}` replaced, which stands for a slash. `${{` and a `${` without an end stand for
/// themselves.
///
/// # Errors
/// A property that a JVM would have.
fn expanded(value: &str) -> Result<Zeroizing<String>, String> {
    // What it becomes is never longer, so no piece of it stays behind in memory.
    let (mut out, mut rest) = (Zeroizing::new(String::with_capacity(value.len())), value);
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        if name == "/" {
            out.push('/');
            rest = behind;
        } else if name.starts_with('{') {
            out.push_str("${");
            rest = after;
        } else {
            return Err("there are no system properties of a JVM here: replace ${…} by its value"
                .to_owned());
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Vec<(String, String)> {
        let text = format!("S {{ a.b.C required {text}; }};");
        let file = JaasFile::read(text.as_bytes()).unwrap();
        let section = file.section("S").unwrap();
        section
            .options()
            .map(|(name, value)| (name.to_owned(), value.reveal().to_owned()))
            .collect()
    }

    fn error(text: &str) -> (u32, String) {
        let error = JaasFile::read(text.as_bytes()).unwrap_err();
        (error.line, error.what)
    }

    #[test]
    fn a_file_of_the_manual_is_read() {
        let file = JaasFile::read(
            b"// users\nServer {\n    org.apache.zookeeper.server.auth.DigestLoginModule required\n\
              user_super=\"adminsecret\"\n    user_bob=\"bobsecret\"; };\n\
              /* the\n other side */\n\"Quorum Learner\" {\n\
              com.sun.security.auth.module.Krb5LoginModule REQUIRED useKeyTab=true\n\
              keyTab=\"/etc/zk.keytab\" // here\n storeKey=true useTicketCache=false\n\
              principal=\"zookeeper/h@EXAMPLE.COM\";\n a-b_c$d.E optional; };",
        )
        .unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["Server", "Quorum Learner"]);
        let server = file.section("Server").unwrap();
        assert_eq!((server.line, server.modules()[0].line), (2, 3));
        assert_eq!(server.modules()[0].class, "org.apache.zookeeper.server.auth.DigestLoginModule");
        let names: Vec<_> = server.options().map(|(name, _)| name).collect();
        assert_eq!(names, ["user_super", "user_bob"]);
        let learner = file.section("Quorum Learner").unwrap();
        assert_eq!(learner.modules().len(), 2);
        assert_eq!(learner.modules()[1].class, "a-b_c$d.E");
        assert_eq!(learner.options().count(), 5);
        assert_eq!(file.section("server"), None);
        let shown = format!("{file:?}");
        assert!(!shown.contains("bobsecret") && !shown.contains("keytab"), "{shown}");
    }

    #[test]
    fn a_file_without_sections_and_a_section_without_modules_are_nothing() {
        assert_eq!(JaasFile::read(b" // nothing\n").unwrap().names().count(), 0);
        assert_eq!(JaasFile::read(b"S { };").unwrap().section("S"), None);
    }

    #[test]
    fn values_have_escapes_and_no_properties() {
        let value = |text: &str| options(&format!("o={text}"))[0].1.clone();
        assert_eq!(value(r#""a\"b\\c\td\x""#), "a\"b\\c\tdx");
        assert_eq!(value(r#""\101\60\0608""#), "A008");
        assert_eq!(value(r#""""#), "");
        assert_eq!(value("\"${/}${/}\""), "//");
        assert_eq!(value("\"$x ${{y}} ${z\""), "$x ${{y}} ${z");
        assert_eq!(options("o=a o=b").len(), 2);
        let (line, what) = error("S {\n a required\n o=\"x${user.home}y\"; };");
        assert!(
            line == 3 && what.contains("system properties") && !what.contains("home"),
            "{what}"
        );
    }

    #[test]
    fn an_error_names_its_line_and_no_value() {
        for (text, line, part) in [
            ("S", 1, "the file ends where { is expected"),
            ("S {\n a required;\n}", 3, "the file ends where ; is expected"),
            ("S {\n a requird;\n};", 2, "none of required, requisite"),
            ("S {\n a required o;\n};", 2, "';' stands where = is expected"),
            ("S {\n a required o=;\n};", 2, "in \"quotes\""),
            ("S {\n a required o=p@ss;\n};", 2, "stands outside of them"),
            ("S {\n a required o=hunter x;\n};", 2, "';' stands where = is expected"),
            ("S {\n a required\n o=/etc/hunter;\n};", 3, "a slash stands outside"),
            ("S {\n a required\n o=hunter/2;\n p=x;\n};", 3, "a slash stands outside"),
            ("S {\n a required\n o=\"a\"/hunter;\n};", 3, "a slash stands outside"),
            ("S {\n a required o=\"hunter;\n};", 2, "a quote without an end"),
            ("S {\n a required o='hunter';\n};", 2, "single quote"),
            ("S {\n a required o=1hunter;\n};", 2, "begins with a digit"),
            ("S {\n a required o=-;\n};", 2, "begins with"),
            ("S { a required; };\n\nS { a required; };", 3, "\"S\" stands twice"),
            ("# comment", 1, "stands outside of them"),
            ("/* comment", 1, "a comment without an end"),
            ("};", 1, "the name of a section"),
        ] {
            let (found, what) = error(text);
            assert!(found == line && what.contains(part), "{text:?}: line {found}: {what}");
            assert!(!what.contains("hunter"), "{what}");
        }
    }

    #[test]
    fn comments_of_two_signs_may_stand_directly_behind_a_word() {
        let expected = [("o".to_owned(), "a".to_owned()), ("p".to_owned(), "b".to_owned())];
        for text in
            ["o=a//x;\n p=b", "o=a/* x; */p=b", "o=//x\na p=b", "o=a / x\n p=b", "o=a\n/x\np=b"]
        {
            assert_eq!(options(text), expected, "{text}");
        }
    }

    #[test]
    fn a_word_in_another_character_set_is_an_error_and_a_comment_is_not() {
        let error = JaasFile::read(b"S { a required\n o=\"hunter\xfc\"; };").unwrap_err();
        assert!(error.line == 2 && error.what.contains("not UTF-8"), "{error:?}");
        assert!(!error.what.contains("hunter"), "{error:?}");
        for bytes in [
            &b"S\xfc { a required; };"[..],
            b"S { a\xff required; };",
            b"S { a required \xe9=x; };",
        ] {
            assert!(JaasFile::read(bytes).unwrap_err().what.contains("not UTF-8"));
        }
        let file =
            JaasFile::read(b"// gr\xfc\xdfe\nS { a /* \xe9 */ required o=\"gr\xc3\xbc\"; };")
                .unwrap();
        assert_eq!(file.section("S").unwrap().options().next().unwrap().1.reveal(), "gr\u{fc}");
    }

    #[test]
    fn a_file_has_bounds() {
        let long = "x".repeat(JAAS_FILE_BYTES_MAX + 1);
        assert_eq!(error(&long).0, 0);
        let word = "x".repeat(crate::limits::JAAS_WORD_BYTES_MAX + 1);
        assert!(error(&word).1.contains("4096 bytes"));
        assert!(error(&format!("S {{ a required o=\"{word}\"; }};")).1.contains("4096 bytes"));
        let modules = "a required;".repeat(JAAS_MODULES_MAX + 1);
        assert!(error(&format!("S {{ {modules} }};")).1.contains("64 login modules"));
        let sections: String =
            (0..=JAAS_SECTIONS_MAX).map(|n| format!("s{n} {{ a required; }};")).collect();
        assert!(error(&sections).1.contains("256 sections"));
    }
}
