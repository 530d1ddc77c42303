//! The functions of MIT Kerberos that accept clients and log servers in, and the C types that they take (RFC 2744, and
//! `gssapi_ext.h` and `krb5.h` of MIT Kerberos).
//!
//! The library is opened while the server runs, so that one program serves machines with Kerberos and without, and a
//! build needs neither its headers nor a C compiler. Its name has the version of its binary interface, which has been
//! the same since 2004 and is only added to.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

/// The library: that of Debian's package libgssapi-krb5-2, and of krb5-libs elsewhere. It brings libkrb5 with it.
const NAME: &CStr = c"libgssapi_krb5.so.2";

/// `gss_name_t`, `gss_cred_id_t`, `gss_ctx_id_t`, `krb5_context`: pointers to what only the library knows.
pub type Handle = *mut c_void;

/// `gss_buffer_desc`.
#[repr(C)]
pub struct Buffer {
    pub length: usize,
    pub value: *mut c_void,
}

/// `gss_OID_desc`.
#[repr(C)]
pub struct Oid {
    pub length: u32,
    pub elements: *mut c_void,
}

/// `gss_OID_set_desc`.
#[repr(C)]
pub struct OidSet {
    pub count: usize,
    pub elements: *mut Oid,
}

/// `gss_key_value_element_desc`.
#[repr(C)]
pub struct KeyValue {
    pub key: *const c_char,
    pub value: *const c_char,
}

/// `gss_key_value_set_desc`.
#[repr(C)]
pub struct KeyValueSet {
    pub count: u32,
    pub elements: *mut KeyValue,
}

/// Declares the table of functions, and how it is filled from the library by their names.
macro_rules! functions {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions, under their names in C. The first argument of those of GSS-API is the minor status.
        pub struct Functions {
            $(pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            /// # Errors
            /// The library is not there, or lacks a function.
            fn open() -> Result<Functions, String> {
                // SAFETY: the name ends with a 0. The library's initialisers are those of MIT Kerberos, which any
                // thread may run.
                let library = unsafe { libc::dlopen(NAME.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
                if library.is_null() {
                    return Err(last_error());
                }
                Ok(Functions {
                    $($name: {
                        let name = concat!(stringify!($name), "\0");
                        // SAFETY: the library is open and never closed, and the name ends with a 0. Libraries that it
                        // brings with it are searched, too.
                        let found = unsafe { libc::dlsym(library, name.as_ptr().cast()) };
                        if found.is_null() {
                            return Err(last_error());
                        }
                        // SAFETY: a function of this name has had this signature in all versions of the library that
                        // have this number, and a pointer to a function is as large as one to data.
                        unsafe {
                            std::mem::transmute::<
                                *mut c_void,
                                unsafe extern "C" fn($($argument),*) $(-> $result)?,
                            >(found)
                        }
                    },)*
                })
            }
        }
    };
}

functions! {
    gss_import_name(*mut u32, *const Buffer, *const Oid, *mut Handle) -> u32;
    gss_display_name(*mut u32, Handle, *mut Buffer, *mut *mut Oid) -> u32;
    gss_release_name(*mut u32, *mut Handle) -> u32;
    gss_acquire_cred_from(
        *mut u32, Handle, u32, *const OidSet, c_int, *const KeyValueSet, *mut Handle, *mut *mut OidSet, *mut u32
    ) -> u32;
    gss_release_cred(*mut u32, *mut Handle) -> u32;
    gss_accept_sec_context(
        *mut u32, *mut Handle, Handle, *const Buffer, *const c_void, *mut Handle, *mut *mut Oid, *mut Buffer,
        *mut u32, *mut u32, *mut Handle
    ) -> u32;
    gss_init_sec_context(
        *mut u32, Handle, *mut Handle, Handle, *const Oid, u32, u32, *const c_void, *const Buffer, *mut *mut Oid,
        *mut Buffer, *mut u32, *mut u32
    ) -> u32;
    gss_delete_sec_context(*mut u32, *mut Handle, *mut Buffer) -> u32;
    gss_wrap(*mut u32, Handle, c_int, u32, *const Buffer, *mut c_int, *mut Buffer) -> u32;
    gss_unwrap(*mut u32, Handle, *const Buffer, *mut Buffer, *mut c_int, *mut u32) -> u32;
    gss_release_buffer(*mut u32, *mut Buffer) -> u32;
    gss_display_status(*mut u32, u32, c_int, *const Oid, *mut u32, *mut Buffer) -> u32;
    krb5_init_context(*mut Handle) -> i32;
    krb5_get_default_realm(Handle, *mut *mut c_char) -> i32;
    krb5_free_default_realm(Handle, *mut c_char);
    krb5_kt_default_name(Handle, *mut c_char, c_int) -> i32;
    krb5_free_context(Handle);
}

/// The functions, or why there are none. Opens the library at the first call.
pub fn functions() -> Result<&'static Functions, &'static str> {
    static FUNCTIONS: OnceLock<Result<Functions, String>> = OnceLock::new();
    FUNCTIONS.get_or_init(Functions::open).as_ref().map_err(String::as_str)
}

/// What the dynamic linker says of its last failure on this thread.
fn last_error() -> String {
    // SAFETY: takes nothing; the text is valid until the next call of the linker on this thread.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "the dynamic linker gives no reason".to_owned();
    }
    // SAFETY: it is not null, and ends with a 0.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

impl Buffer {
    /// A buffer that the library fills and `gss_release_buffer` empties.
    pub const EMPTY: Buffer = Buffer { length: 0, value: ptr::null_mut() };

    /// A buffer over these bytes, which a function only reads. It must not outlive them.
    pub fn over(bytes: &[u8]) -> Buffer {
        Buffer { length: bytes.len(), value: bytes.as_ptr().cast_mut().cast() }
    }
}

impl Oid {
    /// An object identifier over its encoding.
    pub const fn over(encoding: &'static [u8]) -> Oid {
        assert!(encoding.len() < 128, "an object identifier is short");
        #[allow(clippy::cast_possible_truncation, reason = "checked in the line above")]
        let length = encoding.len() as u32;
        Oid { length, elements: encoding.as_ptr().cast_mut().cast() }
    }
}
