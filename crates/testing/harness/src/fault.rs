//! A proxy between a client and a server that can be told to fail.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// How the proxy treats its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Bytes pass.
    Pass,
    /// Bytes wait, as if the network were gone; connections stay.
    Stall,
    /// Connections are refused, and those there are were cut.
    Cut,
}

struct State {
    mode: Mutex<Mode>,
    changed: Condvar,
    open: Mutex<Vec<TcpStream>>,
}

/// A proxy before a port of 127.0.0.1.
pub struct FaultProxy {
    port: u16,
    state: Arc<State>,
}

impl FaultProxy {
    /// A proxy before a port, that lets everything pass.
    #[must_use]
    pub fn before(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let own = listener.local_addr().expect("it has an address").port();
        let state =
            Arc::new(State { mode: Mutex::new(Mode::Pass), changed: Condvar::new(), open: Mutex::default() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if *shared.mode.lock().unwrap_or_else(PoisonError::into_inner) == Mode::Cut {
                    let _ = client.shutdown(Shutdown::Both);
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || pass(&shared, from, to));
                }
                open.extend([client, server]);
            }
        });
        Self { port: own, state }
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    fn set(&self, mode: Mode) {
        *self.state.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
        self.state.changed.notify_all();
    }

    /// Lets bytes wait, as if the network were gone.
    pub fn stall(&self) {
        self.set(Mode::Stall);
    }

    /// Cuts every connection and refuses new ones.
    pub fn cut(&self) {
        self.set(Mode::Cut);
        for stream in self.state.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets everything pass again.
    pub fn heal(&self) {
        self.set(Mode::Pass);
    }
}

fn pass(state: &State, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 << 10];
    let mut copy = || -> io::Result<()> {
        loop {
            let count = from.read(&mut buffer)?;
            let mut mode = state.mode.lock().unwrap_or_else(PoisonError::into_inner);
            while *mode == Mode::Stall {
                mode = state.changed.wait(mode).unwrap_or_else(PoisonError::into_inner);
            }
            drop(mode);
            if count == 0 {
                return Ok(());
            }
            to.write_all(&buffer[..count])?;
        }
    };
    let _ = copy();
    let _ = to.shutdown(Shutdown::Both);
}
