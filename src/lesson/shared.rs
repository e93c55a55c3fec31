//! What parent and children must agree on while a class looks: flags in a page that fork() does not copy.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

/// One word for all processes of a server.
#[derive(Debug, Default)]
pub struct Flags {
    /// The trace file could not be written to: nobody writes there any more, and it has been said.
    pub file_ended: AtomicBool,
    /// The stepper asks no more: somebody has pressed `c` or `q`.
    pub runs_on: AtomicBool,
    /// Somebody has pressed `q`.
    pub quit: AtomicBool,
}

/// The flags. To be asked for once before fork(), or each process would have its own.
#[allow(unsafe_code)] // mmap(2) gives bare memory.
pub fn flags() -> &'static Flags {
    static FLAGS: OnceLock<&'static Flags> = OnceLock::new();
    FLAGS.get_or_init(|| {
        let length = NonZeroUsize::new(size_of::<Flags>()).unwrap_or(NonZeroUsize::MIN);
        // SAFETY: a new mapping at a place of the kernel's choice touches nothing that exists.
        let page =
            unsafe { mmap_anonymous(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED) };
        match page {
            // SAFETY: page-aligned, long enough, never unmapped; all-zero bytes are a valid `Flags` of atomics.
            Ok(page) => unsafe { page.cast().as_ref() },
            Err(_) => Box::leak(Box::default()), // without memory to share, each process has its own
        }
    })
}
