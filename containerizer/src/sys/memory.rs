//! The memory of this process.

/// Gives the kernel what the allocator holds and nobody uses. malloc_trim(3), which is glibc's alone;
/// others give it back by themselves.
pub fn release_unused_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, and locks each arena while it looks at it.
    unsafe {
        libc::malloc_trim(0);
    }
}
