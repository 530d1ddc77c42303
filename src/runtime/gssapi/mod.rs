//! Kerberos (GSS-API: RFC 2743, RFC 4121) by the library of MIT Kerberos: accepts clients and other servers, and logs
//! this server in at others.
//!
//! [`AcceptorKeys`] are the keys of this server, and an [`AcceptorContext`] is what it shares with one client. Each
//! call may read the key table and write the replay cache, so it belongs on a thread that may wait. The functions are
//! there only if the program was built with the feature `gssapi`.
//!
//! The rule that is easy to break: whatever the library hands out is released by the function that belongs to it, also
//! on the way of an error.

mod initiator;
mod library;

use std::ffi::{CStr, CString, c_int};
use std::ptr;

use crate::limits::GSSAPI_TEXT_CHARS_MAX;
pub use initiator::{InitiatorContext, InitiatorKeys};

use library::{Buffer, Functions, Handle, KeyValue, KeyValueSet, Oid, OidSet, functions};

/// Whether the program was built with Kerberos.
pub const GSSAPI_IS_BUILT: bool = cfg!(feature = "gssapi");

/// Kerberos 5 (1.2.840.113554.1.2.2).
const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];
/// The form of a principal's name, `service/host@REALM` (1.2.840.113554.1.2.2.1).
const PRINCIPAL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02, 0x01];

// RFC 2744, Appendix A.
const GSS_C_ACCEPT: c_int = 2;
const GSS_C_INDEFINITE: u32 = u32::MAX;
const GSS_C_GSS_CODE: c_int = 1;
const GSS_C_MECH_CODE: c_int = 2;
/// The bits of a major status that are errors; the others are information.
const GSS_ERRORS: u32 = 0xffff_0000;
/// The error that says nothing.
const GSS_S_FAILURE: u32 = 13 << 16;
const GSS_S_CONTINUE_NEEDED: u32 = 1;
/// `KRB5_KDC_UNREACH` and `KRB5_REALM_CANT_RESOLVE` of krb5.h: none of the centres answers, or their names have no address
/// at the moment.
const CENTRE_AWAY: [i32; 2] = [-1_765_328_228, -1_765_328_164];
/// The bits that say that a token is a copy of an earlier one, old, or out of its order.
const GSS_ORDER: u32 = 0b11110;

/// Why the library has refused something: the text of its major status and that of its minor one. It may hold names
/// of principals and of files, and no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct GssError {
    text: String,
    /// Whether no key distribution centre could be reached, which may pass.
    pub is_centre_away: bool,
}

impl GssError {
    /// A reason of our own.
    fn new(text: String) -> GssError {
        GssError { text, is_centre_away: false }
    }

    /// The text of a status of `functions`.
    fn of(functions: &Functions, major: u32, minor: u32) -> GssError {
        let is_centre_away = CENTRE_AWAY.contains(&minor.cast_signed());
        let text = |status, kind| status_text(functions, status, kind);
        // The text of a major status that says nothing only points at the minor one, whose text may say nothing, too:
        // the library has none for a token that is cut off within its first lengths.
        let minor = (minor != 0).then(|| text(minor, GSS_C_MECH_CODE));
        let minor = minor.filter(|minor| !minor.is_empty() && minor != "Success");
        let text = match (major & GSS_ERRORS == GSS_S_FAILURE, minor) {
            (true, Some(minor)) => minor,
            (true, None) => "the library gives no reason; a token may be cut off".to_owned(),
            (false, Some(minor)) => format!("{}: {minor}", text(major, GSS_C_GSS_CODE)),
            (false, None) => text(major, GSS_C_GSS_CODE),
        };
        let text = text.trim().chars().take(GSSAPI_TEXT_CHARS_MAX).map(shown).collect();
        GssError { text, is_centre_away }
    }
}

/// Names that clients have chosen stand in these texts, and the texts in lines of the log.
fn shown(letter: char) -> char {
    if letter.is_control() { '\u{fffd}' } else { letter }
}

/// The text of a status, which consists of a major or of a minor code.
fn status_text(functions: &Functions, status: u32, kind: c_int) -> String {
    let (mut minor, mut more, mut text) = (0, 0, Buffer::EMPTY);
    let kerberos = Oid::over(KERBEROS);
    // SAFETY: all pointers lead to live values of their types. One message is enough: Kerberos has no second one.
    let major = unsafe {
        let display = functions.gss_display_status;
        display(&raw mut minor, status, kind, &raw const kerberos, &raw mut more, &raw mut text)
    };
    let text = take(functions, text);
    match major & GSS_ERRORS {
        0 => String::from_utf8_lossy(&text).into_owned(),
        _ => format!("status {status:#x}"),
    }
}

/// The bytes of a buffer that the library has filled; the buffer is released.
fn take(functions: &Functions, mut buffer: Buffer) -> Vec<u8> {
    let bytes = match buffer.value.is_null() {
        true => Vec::new(),
        // SAFETY: the library says that so many bytes are there, and has not released them yet.
        false => unsafe { std::slice::from_raw_parts(buffer.value.cast(), buffer.length) }.to_vec(),
    };
    let mut minor = 0;
    // SAFETY: the buffer is the library's, and nothing refers to it any more. An empty one is let alone.
    unsafe { (functions.gss_release_buffer)(&raw mut minor, &raw mut buffer) };
    bytes
}

/// The functions of the library.
///
/// # Errors
/// The program was built without them, or this machine does not have them.
fn loaded() -> Result<&'static Functions, GssError> {
    if !GSSAPI_IS_BUILT {
        return Err(GssError::new("the program was built without Kerberos".to_owned()));
    }
    functions()
        .map_err(|why| GssError::new(format!("the library of MIT Kerberos is missing: {why}")))
}

/// The name of a principal, which is to be released.
///
/// # Errors
/// It is malformed.
fn principal(functions: &Functions, text: &str) -> Result<Handle, GssError> {
    let (mut minor, mut name) = (0, ptr::null_mut());
    let (text, form) = (Buffer::over(text.as_bytes()), Oid::over(PRINCIPAL));
    // SAFETY: all pointers lead to live values of their types; the text is read, not kept.
    let major = unsafe {
        let import = functions.gss_import_name;
        import(&raw mut minor, &raw const text, &raw const form, &raw mut name)
    };
    if major & GSS_ERRORS == 0 { Ok(name) } else { Err(GssError::of(functions, major, minor)) }
}

/// Releases a name, of which nothing knows any more.
fn release_name(functions: &Functions, mut name: Handle) {
    let mut minor = 0;
    // SAFETY: the library has made the name, and those who have used it have copies. A null is let alone.
    unsafe { (functions.gss_release_name)(&raw mut minor, &raw mut name) };
}

/// The credentials of a principal for one use (`gss_acquire_cred_from`), which are to be released. `places`: where its
/// keys and tickets are, by the library's names; it knows places of its own for those that are left out.
///
/// # Errors
/// The name is malformed, or the key table cannot be read or has no key of this principal.
fn acquire(
    functions: &Functions,
    name: &str,
    usage: c_int,
    places: Vec<(&CStr, String)>,
) -> Result<Handle, GssError> {
    let (names, texts): (Vec<&CStr>, Vec<String>) = places.into_iter().unzip();
    let texts = texts.into_iter().map(CString::new).collect::<Result<Vec<CString>, _>>();
    let texts = texts.map_err(|_| GssError::new("the path of the key table has a 0".to_owned()))?;
    let places = names.iter().zip(&texts);
    let mut places: Vec<KeyValue> =
        places.map(|(name, text)| KeyValue { key: name.as_ptr(), value: text.as_ptr() }).collect();
    let count = u32::try_from(places.len()).expect("a few");
    let store = KeyValueSet { count, elements: places.as_mut_ptr() };
    let store = if count == 0 { ptr::null() } else { &raw const store };
    let mut kerberos = Oid::over(KERBEROS);
    let mechanisms = OidSet { count: 1, elements: &raw mut kerberos };
    let name = principal(functions, name)?;
    let (mut minor, mut credentials) = (0, ptr::null_mut());
    // SAFETY: all pointers lead to live values of their types, or are null where the caller does not care; what they
    // lead to is read, not kept.
    let major = unsafe {
        (functions.gss_acquire_cred_from)(
            &raw mut minor,
            name,
            GSS_C_INDEFINITE,
            &raw const mechanisms,
            usage,
            store,
            &raw mut credentials,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    release_name(functions, name);
    match major & GSS_ERRORS {
        0 => Ok(credentials),
        _ => Err(GssError::of(functions, major, minor)),
    }
}

/// The realm of this machine (`default_realm` in krb5.conf). `None`: it has none.
pub fn default_realm() -> Option<String> {
    let functions = loaded().ok()?;
    let (mut context, mut realm) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the pointer leads to a live handle, which the library sets unless it fails.
    if unsafe { (functions.krb5_init_context)(&raw mut context) } != 0 {
        return None;
    }
    // SAFETY: the context was just made. A realm is a text of C, which is copied before it is released.
    unsafe {
        let has_one = (functions.krb5_get_default_realm)(context, &raw mut realm) == 0;
        let text = (has_one && !realm.is_null())
            .then(|| CStr::from_ptr(realm).to_string_lossy().into_owned());
        if text.is_some() {
            (functions.krb5_free_default_realm)(context, realm);
        }
        (functions.krb5_free_context)(context);
        text
    }
}

/// The keys with which this server accepts clients. The library reads the key table anew for each client, so new keys
/// count at once, and the keys never expire here.
pub struct AcceptorKeys {
    functions: &'static Functions,
    /// A `gss_cred_id_t`.
    credentials: Handle,
}

// SAFETY: a credential of MIT Kerberos has a lock of its own, and belongs to no thread.
unsafe impl Send for AcceptorKeys {}

impl AcceptorKeys {
    /// The keys of a principal, out of a key table. `keytab`: the path of its file; `None`: the machine's.
    ///
    /// # Errors
    /// The library is not there, the name is malformed, or the table cannot be read or has no key of this principal.
    pub fn of(principal: &str, keytab: Option<&str>) -> Result<AcceptorKeys, GssError> {
        let functions = loaded()?;
        let table = keytab.map(|path| (c"keytab", format!("FILE:{path}")));
        let credentials = acquire(functions, principal, GSS_C_ACCEPT, table.into_iter().collect())?;
        Ok(AcceptorKeys { functions, credentials })
    }
}

impl Drop for AcceptorKeys {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: the credential is this object's alone, and no call with it is under way.
        unsafe { (self.functions.gss_release_cred)(&raw mut minor, &raw mut self.credentials) };
    }
}

/// What two sides share: first it is being made, token by token, then it wraps messages.
struct Context {
    functions: &'static Functions,
    /// A `gss_ctx_id_t`; null before the first token and after an error.
    context: Handle,
}

// SAFETY: a context of MIT Kerberos may be used by one thread after the other, and this object is not shared.
unsafe impl Send for Context {}

/// What this server shares with a client that it accepts.
pub struct AcceptorContext(Context);

/// What a token of a client leads to.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The token for the client; empty: there is none.
    pub token: Vec<u8>,
    /// The name of the client's principal with its realm. `None`: another token of the client has to follow.
    pub client: Option<String>,
}

impl AcceptorContext {
    /// A context that is yet to be made.
    pub fn new(keys: &AcceptorKeys) -> AcceptorContext {
        AcceptorContext(Context::new(keys.functions))
    }

    /// Takes a token of the client, until [`Accepted::client`] says who it is.
    ///
    /// # Errors
    /// The token is not for this server, was used before, has expired, or is malformed.
    pub fn accept(&mut self, keys: &AcceptorKeys, token: &[u8]) -> Result<Accepted, GssError> {
        let functions = self.0.functions;
        let (input, mut output) = (Buffer::over(token), Buffer::EMPTY);
        let (mut minor, mut client) = (0, ptr::null_mut());
        // SAFETY: all pointers lead to live values of their types, or are null where the caller does not care. The
        // library makes the context, and frees it if it fails; the handle is null then.
        let major = unsafe {
            (functions.gss_accept_sec_context)(
                &raw mut minor,
                &raw mut self.0.context,
                keys.credentials,
                &raw const input,
                ptr::null(),
                &raw mut client,
                ptr::null_mut(),
                &raw mut output,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        let token = take(functions, output);
        let result = match (major & (GSS_ERRORS | GSS_ORDER), major & GSS_S_CONTINUE_NEEDED) {
            (0, 0) => name_of(functions, client).map(|name| Accepted { token, client: Some(name) }),
            (0, _) => Ok(Accepted { token, client: None }),
            // The token tells the client why, and is dropped: the reason is for the log of this server.
            _ => Err(GssError::of(functions, major, minor)),
        };
        release_name(functions, client);
        result
    }

    /// Wraps a message so that the client sees whom it is from; everybody can read it.
    ///
    /// # Errors
    /// The context is not made yet, or has expired.
    pub fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, GssError> {
        self.0.wrap(message)
    }

    /// The message that a client has wrapped.
    ///
    /// # Errors
    /// It is not from this client, was changed, or was sent before.
    pub fn unwrap(&mut self, token: &[u8]) -> Result<Vec<u8>, GssError> {
        self.0.unwrap(token)
    }
}

impl Context {
    /// One that is yet to be made.
    fn new(functions: &'static Functions) -> Context {
        Context { functions, context: ptr::null_mut() }
    }

    fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, GssError> {
        let (input, mut output) = (Buffer::over(message), Buffer::EMPTY);
        let (functions, mut minor) = (self.functions, 0);
        self.is_made()?;
        // SAFETY: the context is there; all pointers lead to live values of their types, or are null.
        let major = unsafe {
            let wrap = functions.gss_wrap;
            let (input, output) = (&raw const input, &raw mut output);
            wrap(&raw mut minor, self.context, 0, 0, input, ptr::null_mut(), output)
        };
        self.message(major, minor, output)
    }

    fn unwrap(&mut self, token: &[u8]) -> Result<Vec<u8>, GssError> {
        let (input, mut output) = (Buffer::over(token), Buffer::EMPTY);
        let (functions, mut minor) = (self.functions, 0);
        self.is_made()?;
        // SAFETY: the context is there; all pointers lead to live values of their types, or are null.
        let major = unsafe {
            let unwrap = functions.gss_unwrap;
            let (input, output) = (&raw const input, &raw mut output);
            unwrap(&raw mut minor, self.context, input, output, ptr::null_mut(), ptr::null_mut())
        };
        self.message(major, minor, output)
    }

    fn is_made(&self) -> Result<(), GssError> {
        match self.context.is_null() {
            true => Err(GssError::new("there is no context with the client".to_owned())),
            false => Ok(()),
        }
    }

    /// The message in the output of a call that has ended so. A message out of its order, or an old one, is no error of
    /// the library, but the major status says it.
    fn message(&self, major: u32, minor: u32, output: Buffer) -> Result<Vec<u8>, GssError> {
        let bytes = take(self.functions, output);
        if major == 0 { Ok(bytes) } else { Err(GssError::of(self.functions, major, minor)) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.context.is_null() {
            return;
        }
        let mut minor = 0;
        // SAFETY: the context is this object's alone, and no call with it is under way. No token is asked for.
        unsafe {
            let delete = self.functions.gss_delete_sec_context;
            delete(&raw mut minor, &raw mut self.context, ptr::null_mut());
        }
    }
}

/// The text of a client's name.
///
/// # Errors
/// It is no text, or one that could be taken for another: the library writes a backslash before a letter of a name that
/// stands for something else between its parts.
fn name_of(functions: &Functions, name: Handle) -> Result<String, GssError> {
    let (mut minor, mut text) = (0, Buffer::EMPTY);
    // SAFETY: the library has made the name; all pointers lead to live values of their types, or are null.
    let major = unsafe {
        (functions.gss_display_name)(&raw mut minor, name, &raw mut text, ptr::null_mut())
    };
    let text = take(functions, text);
    if major & GSS_ERRORS != 0 {
        return Err(GssError::of(functions, major, minor));
    }
    let is_plain = |name: &String| !name.contains('\\') && !name.chars().any(char::is_control);
    String::from_utf8(text).ok().filter(is_plain).ok_or_else(|| {
        GssError::new("the name of the client has letters that no name here may have".to_owned())
    })
}
