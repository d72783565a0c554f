//! The port by which clients under test reach a broker: open only while the test says so, so that
//! recorders are back before them when a broker is started anew.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;

/// An open port. Dropping it closes the port; connections last as long as their ends.
pub(super) struct Door {
    port: u16,
    is_closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    /// Opens `port` to who listens at `behind`.
    pub(super) fn open(port: u16, behind: u16) -> Door {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is ours");
        let is_closed = Arc::new(AtomicBool::new(false));
        let is_closed_too = Arc::clone(&is_closed);
        let thread = std::thread::spawn(move || {
            for outside in listener.incoming() {
                if is_closed_too.load(Ordering::SeqCst) {
                    return;
                }
                // Where nobody is behind any more, the connection is closed at once.
                let _ = outside.and_then(|outside| connect(outside, behind));
            }
        });
        Door {
            port,
            is_closed,
            thread: Some(thread),
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // So that it looks.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn connect(outside: TcpStream, behind: u16) -> io::Result<()> {
    let inside = TcpStream::connect((Ipv4Addr::LOCALHOST, behind))?;
    for stream in [&outside, &inside] {
        stream.set_nodelay(true)?;
    }
    let (outside_too, inside_too) = (outside.try_clone()?, inside.try_clone()?);
    std::thread::spawn(move || pass(outside, inside));
    std::thread::spawn(move || pass(inside_too, outside_too));
    Ok(())
}

/// Hands on what comes, and the end of it.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let ended = io::copy(&mut from, &mut to);
    // Who broke the connection can't be told, and who ended it may still listen.
    let how = match ended {
        Ok(_) => Shutdown::Write,
        Err(_) => Shutdown::Both,
    };
    let _ = to.shutdown(how);
}
