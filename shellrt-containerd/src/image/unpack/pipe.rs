//! The plain tar between the thread that makes it and the thread that makes files of it: in pieces that
//! go round, so that memory is neither asked for nor given back on the way.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::sync::{mpsc, Arc};

/// How large a piece is: it should stay in a processor's cache until it is written.
const PIECE: usize = 256 << 10;

/// How many pieces may wait.
const PIECES: usize = 8;

/// Where the tar comes in.
pub(super) struct Inlet {
    pieces: SyncSender<Vec<u8>>,
    used: Receiver<Vec<u8>>,
}

/// Where it comes out.
pub(super) struct Outlet {
    pieces: Receiver<Vec<u8>>,
    used: Sender<Vec<u8>>,
    piece: Vec<u8>,
    /// How much of the piece was read.
    at: usize,
    stop: Arc<AtomicBool>,
}

/// `stop`: whether nobody waits for it any more.
pub(super) fn pipe(stop: Arc<AtomicBool>) -> (Inlet, Outlet) {
    let (pieces, waiting) = mpsc::sync_channel(PIECES);
    let (back, used) = mpsc::channel();
    let outlet = Outlet {
        pieces: waiting,
        used: back,
        piece: Vec::new(),
        at: 0,
        stop,
    };
    (Inlet { pieces, used }, outlet)
}

impl Inlet {
    /// Fills one piece from `tar`, shows it to `seen` and hands it on. False at the end, or where
    /// nobody wants more.
    pub(super) fn pass(&self, tar: &mut dyn Read, seen: impl FnOnce(&[u8])) -> io::Result<bool> {
        let mut piece = self.used.try_recv().unwrap_or_default();
        piece.resize(PIECE, 0);
        let mut filled = 0;
        while filled < PIECE {
            match tar.read(&mut piece[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        piece.truncate(filled);
        seen(&piece);
        Ok(filled > 0 && self.pieces.send(piece).is_ok())
    }
}

impl BufRead for Outlet {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.piece.len() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("it was given up"));
            }
            // An end that is none is told by the other thread.
            let next = self.pieces.recv().unwrap_or_default();
            // The other thread may have no use for it.
            let _ = self.used.send(std::mem::replace(&mut self.piece, next));
            self.at = 0;
        }
        Ok(&self.piece[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Outlet {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
