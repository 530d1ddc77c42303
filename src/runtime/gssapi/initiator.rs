//! The connecting side: this server shows a ticket of its own to another one.
//!
//! The library gets a ticket from the key distribution centre with the keys of this server, and with that one others
//! for the servers to which this one connects, and keeps them in memory. So each call may take as long as the network
//! lets it.
//!
//! The rule that is easy to break: credentials of the library are as old as their first ticket. It gets a new one
//! before that expires when credentials are acquired, and at no other time; so each context acquires its own, which
//! costs no message while the ticket in memory is good.

use std::ffi::c_int;
use std::ptr;

use super::library::{Buffer, Functions, Handle, Oid};
use super::{
    AcceptorKeys, Context, Credentials, GSS_ERRORS, GSS_ORDER, GSS_S_CONTINUE_NEEDED, GssError,
    KERBEROS, acquire, default_key_table, loaded, principal, release_name, take,
};

// RFC 2744, Appendix A.
const GSS_C_INITIATE: c_int = 1;
/// The other side proves itself as well; copies and messages out of their order are noticed; messages are signed.
const MUTUAL: u32 = 2;
const FLAGS: u32 = MUTUAL | 4 | 8 | 32;

/// The keys with which this server gets tickets: where they are, and where its tickets are kept.
pub struct InitiatorKeys {
    functions: &'static Functions,
    /// The principal of this server.
    name: String,
    /// The key table, with its kind.
    table: String,
    /// The name of what is kept of the tickets in memory.
    tickets: String,
}

impl InitiatorKeys {
    /// The keys of a principal, out of a key table. `keytab`: the path of its file; `None`: the machine's. `tickets`: a
    /// name for what is kept of them in memory, which no other keys have. No ticket is got yet, so this asks no key
    /// distribution centre.
    ///
    /// # Errors
    /// The library is not there, the name is malformed, or the table cannot be read or has no key of this principal.
    pub fn of(name: &str, keytab: Option<&str>, tickets: &str) -> Result<InitiatorKeys, GssError> {
        let functions = loaded()?;
        drop(AcceptorKeys::of(name, keytab)?);
        // The library would look for the keys of whoever connects in another table of the machine.
        let table = match keytab {
            Some(path) => format!("FILE:{path}"),
            None => default_key_table(functions)?,
        };
        Ok(InitiatorKeys { functions, name: name.to_owned(), table, tickets: tickets.to_owned() })
    }

    /// Gets a ticket with which others can be got, if there is none in memory that is good for long enough.
    fn acquire(&self) -> Result<Credentials, GssError> {
        let tickets = (c"ccache", format!("MEMORY:{}", self.tickets));
        let places = vec![tickets, (c"client_keytab", self.table.clone())];
        acquire(self.functions, &self.name, GSS_C_INITIATE, places)
    }
}

/// The connecting side of a context.
pub struct InitiatorContext {
    context: Context,
    credentials: Credentials,
    /// The other server's name, a `gss_name_t`.
    target: Handle,
}

// SAFETY: a name of MIT Kerberos is not changed once it is made, and this object is not shared.
unsafe impl Send for InitiatorContext {}

impl InitiatorContext {
    /// A context with a server, which is yet to be made. `service`: its principal.
    ///
    /// # Errors
    /// The name is malformed, or no key distribution centre gives this server a ticket.
    pub fn new(keys: &InitiatorKeys, service: &str) -> Result<InitiatorContext, GssError> {
        let credentials = keys.acquire()?;
        let target = principal(keys.functions, service)?;
        Ok(InitiatorContext { context: Context::new(keys.functions), credentials, target })
    }

    /// Takes a token of the other side, empty at first. The next token for it, which may be empty, and whether the
    /// context is made: then both sides have proved who they are.
    ///
    /// # Errors
    /// There is no ticket for the other server, or it has not proved who it is.
    pub fn step(&mut self, token: &[u8]) -> Result<(Vec<u8>, bool), GssError> {
        let functions = self.context.functions;
        let (input, mut output) = (Buffer::over(token), Buffer::EMPTY);
        let kerberos = Oid::over(KERBEROS);
        let (mut minor, mut flags) = (0, 0);
        // SAFETY: all pointers lead to live values of their types, or are null where the caller does not care. The
        // library makes the context, and frees it if it fails; the handle is null then.
        let major = unsafe {
            (functions.gss_init_sec_context)(
                &raw mut minor,
                self.credentials.handle,
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
                Err(GssError("the other server has not proved who it is".to_owned()))
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
