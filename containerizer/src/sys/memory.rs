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

/// Has all threads take memory from two places. Each of many has one of its own otherwise, and what is free in
/// one is of no use to the others: a burst of work leaves several times what it needed. To be called before
/// there are threads. mallopt(3), for glibc as above.
pub fn share_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}
