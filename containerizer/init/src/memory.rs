//! The memory that the program and its words live in.
//!
//! `init` runs for a few hundred microseconds, and then waits for a command to end. A general allocator
//! asks the kernel for a page for each size of object and gives it back; this one asks once, puts object
//! after object, and takes back only the last, or all once nothing is left. What is large has its own
//! pages, so that reading a large file does not stay in a process that waits for months.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::null_mut;

/// Bytes that are asked of the kernel at once. It gives each page when it is first written to.
const REGION: usize = 256 * 1024;
/// Bytes from which on an object has its own pages.
const LARGE: usize = 64 * 1024;
/// Of a page, and of anything that may be asked for here.
const ALIGNED: usize = 4096;

#[global_allocator]
static MEMORY: Memory = Memory {
    start: Cell::new(0),
    next: Cell::new(0),
    end: Cell::new(0),
    objects: Cell::new(0),
};

/// The region that objects are put into.
struct Memory {
    /// Addresses: its first byte, the first that is free, and the one past its last.
    start: Cell<usize>,
    next: Cell<usize>,
    end: Cell<usize>,
    /// How many are in it, and in those before it.
    objects: Cell<usize>,
}

// SAFETY: `init` has one thread.
unsafe impl Sync for Memory {}

impl Memory {
    fn place(&self, layout: Layout) -> Option<usize> {
        let start = self.next.get().next_multiple_of(layout.align());
        let end = start.checked_add(layout.size())?;
        if end > self.end.get() {
            return None;
        }
        self.next.set(end);
        self.objects.set(self.objects.get() + 1);
        Some(start)
    }

    fn is_last(&self, object: *mut u8, layout: Layout) -> bool {
        object.addr() + layout.size() == self.next.get()
    }
}

/// Gives the kernel back the pages that nothing is in any more. They are there again when they are needed.
pub fn give_back() {
    let first = MEMORY.next.get().next_multiple_of(ALIGNED);
    let length = MEMORY.end.get().saturating_sub(first);
    // SAFETY: from the first whole page on nothing of the region is in use, and who gets it later does not
    // expect to find anything in it.
    unsafe { libc::madvise(first as *mut libc::c_void, length, libc::MADV_DONTNEED) };
}

// SAFETY: an object is inside of a region, from `next` on, which no other object reaches, or has pages
// of its own; both stay until it is given back.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE || layout.align() > ALIGNED {
            return pages(layout);
        }
        if let Some(start) = self.place(layout) {
            return start as *mut u8;
        }
        let region = map(REGION);
        if region.is_null() {
            return region;
        }
        self.start.set(region.addr());
        self.next.set(region.addr());
        self.end.set(region.addr() + REGION);
        self.place(layout)
            .map_or(null_mut(), |start| start as *mut u8)
    }

    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        if layout.size() >= LARGE {
            // SAFETY: these are the pages that `alloc` mapped for this object alone.
            unsafe { libc::munmap(object.cast(), layout.size()) };
            return;
        }
        self.objects.set(self.objects.get() - 1);
        if self.objects.get() == 0 {
            self.next.set(self.start.get());
        } else if self.is_last(object, layout) {
            self.next.set(object.addr());
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `alloc` wants.
        let object = unsafe { self.alloc(layout) };
        // New pages are zero already.
        if layout.size() < LARGE && !object.is_null() {
            // SAFETY: `alloc` has just given us that many bytes.
            unsafe { object.write_bytes(0, layout.size()) };
        }
        object
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.size() < LARGE && size < LARGE && self.is_last(object, layout) {
            let end = object.addr() + size;
            if end <= self.end.get() {
                self.next.set(end);
                return object;
            }
        }
        // SAFETY: `size` is not zero, and with the alignment it is a layout: the caller promises both.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: as for `alloc`; the two objects do not overlap, and both have as many bytes.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(object, layout.size().min(size));
                self.dealloc(object, layout);
            }
            moved
        }
    }
}

/// Null for what nobody here asks for.
fn pages(layout: Layout) -> *mut u8 {
    match layout.align() > ALIGNED {
        true => null_mut(),
        false => map(layout.size()),
    }
}

/// Null when the kernel has none.
fn map(size: usize) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: new pages, wherever there is room, touch nothing that is there.
    let mapped = unsafe { libc::mmap(null_mut(), size, access, flags, -1, 0) };
    match mapped == libc::MAP_FAILED {
        true => null_mut(),
        false => mapped.cast(),
    }
}
