//! The connecting side: this server shows a ticket of its own to another one.
//!
//! The library gets tickets from the key distribution centre when it needs them, with the keys of this server, keeps
//! them in memory, and gets new ones before they expire. So each call may take as long as the network lets it.

use std::ffi::c_int;
use std::ptr;

use super::library::{Buffer, Functions, Handle, Oid};
use super::{
    Context, GSS_ERRORS, GSS_ORDER, GSS_S_CONTINUE_NEEDED, GssError, KERBEROS, acquire, loaded,
    principal, release_name, take,
};

// RFC 2744, Appendix A.
const GSS_C_INITIATE: c_int = 1;
/// The other side proves itself as well; copies and messages out of their order are noticed; messages are signed.
const MUTUAL: u32 = 2;
const FLAGS: u32 = MUTUAL | 4 | 8 | 32;

/// The keys with which this server gets tickets.
pub struct InitiatorKeys {
    functions: &'static Functions,
    /// A `gss_cred_id_t`.
    credentials: Handle,
}

// SAFETY: a credential of MIT Kerberos has a lock of its own, and belongs to no thread.
unsafe impl Send for InitiatorKeys {}

impl InitiatorKeys {
    /// The keys of a principal, out of a key table. `keytab`: the path of its file; `None`: the machine's. `tickets`: a
    /// name for what is kept of them in memory, which no other keys have. This gets the ticket with which others are got.
    ///
    /// # Errors
    /// The library is not there, the name is malformed, the table cannot be read or has no key of this principal, or the
    /// key distribution centre refuses it or does not answer.
    pub fn of(name: &str, keytab: Option<&str>, tickets: &str) -> Result<InitiatorKeys, GssError> {
        let functions = loaded()?;
        let mut places = vec![(c"ccache", format!("MEMORY:{tickets}"))];
        places.extend(keytab.map(|path| (c"client_keytab", format!("FILE:{path}"))));
        let credentials = acquire(functions, name, GSS_C_INITIATE, places)?;
        Ok(InitiatorKeys { functions, credentials })
    }
}

impl Drop for InitiatorKeys {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: the credential is this object's alone, and no call with it is under way.
        unsafe { (self.functions.gss_release_cred)(&raw mut minor, &raw mut self.credentials) };
    }
}

/// The connecting side of a context.
pub struct InitiatorContext {
    context: Context,
    /// The other server's name, a `gss_name_t`.
    target: Handle,
}

// SAFETY: a name of MIT Kerberos is not changed once it is made, and this object is not shared.
unsafe impl Send for InitiatorContext {}

impl InitiatorContext {
    /// A context with a server, which is yet to be made. `service`: its principal.
    ///
    /// # Errors
    /// The name is malformed.
    pub fn new(keys: &InitiatorKeys, service: &str) -> Result<InitiatorContext, GssError> {
        let target = principal(keys.functions, service)?;
        Ok(InitiatorContext { context: Context::new(keys.functions), target })
    }

    /// Takes a token of the other side, empty at first. The next token for it, which may be empty, and whether the
    /// context is made: then both sides have proved who they are.
    ///
    /// # Errors
    /// There is no ticket for the other server, or it has not proved who it is.
    pub fn step(
        &mut self,
        keys: &InitiatorKeys,
        token: &[u8],
    ) -> Result<(Vec<u8>, bool), GssError> {
        let functions = keys.functions;
        let (input, mut output) = (Buffer::over(token), Buffer::EMPTY);
        let kerberos = Oid::over(KERBEROS);
        let (mut minor, mut flags) = (0, 0);
        // SAFETY: all pointers lead to live values of their types, or are null where the caller does not care. The
        // library makes the context, and frees it if it fails; the handle is null then.
        let major = unsafe {
            (functions.gss_init_sec_context)(
                &raw mut minor,
                keys.credentials,
                &raw mut self.context.context,
                self.target,
                &raw const kerberos,
                FLAGS,
                0,
                ptr::null(),
                &raw const input,
                ptr::null_mut(),
                &raw mut output,
                &raw mut flags,
                ptr::null_mut(),
            )
        };
        let token = take(functions, output);
        match (major & (GSS_ERRORS | GSS_ORDER), major & GSS_S_CONTINUE_NEEDED) {
            (0, 0) if flags & MUTUAL == 0 => {
                Err(GssError::new("the other server has not proved who it is".to_owned()))
            }
            (0, 0) => Ok((token, true)),
            (0, _) => Ok((token, false)),
            _ => Err(GssError::of(functions, major, minor)),
        }
    }

    /// As [`AcceptorContext::wrap`](super::AcceptorContext::wrap).
    ///
    /// # Errors
    /// The context is not made yet, or has expired.
    pub fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, GssError> {
        self.context.wrap(message)
    }

    /// As [`AcceptorContext::unwrap`](super::AcceptorContext::unwrap).
    ///
    /// # Errors
    /// The message is not from the other side, was changed, or was sent before.
    pub fn unwrap(&mut self, token: &[u8]) -> Result<Vec<u8>, GssError> {
        self.context.unwrap(token)
    }
}

impl Drop for InitiatorContext {
    fn drop(&mut self) {
        release_name(self.context.functions, self.target);
    }
}
