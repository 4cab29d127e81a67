//! Clients that read slower than the server could send: a phone at the edge of a network.
//!
//! They are not measured. They are there so that a server has something to wait for while it serves others, and
//! whether it can do both is what is measured.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::connection::open_verified;
use super::response::ResponseReader;
use super::result::{LoadError, Recorder};
use super::template::RequestTemplate;

/// Some slow readers of one file.
#[derive(Clone, Debug)]
pub struct SlowReaders {
    /// How many.
    pub connections: usize,
    /// How fast each reads, per second.
    pub bytes_per_second: u64,
    /// For what it asks, again and again.
    pub template: RequestTemplate,
}

/// They read this often: often enough to be a trickle, seldom enough to cost the measuring thread little.
const TICK: Duration = Duration::from_millis(20);
/// What the kernel takes in for a reader that doesn't read. Small, so that the server has to wait.
const RECEIVE_BUFFER_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct SlowClients {
    readers: SlowReaders,
    address: SocketAddr,
    clients: Vec<SlowClient>,
    next_tick: Instant,
}

#[derive(Debug)]
struct SlowClient {
    socket: TcpStream,
    reader: ResponseReader,
}

impl SlowClients {
    /// All of them connected. `small` is request for first: to wait for an response of theirs would take them long.
    pub(super) fn open(
        address: SocketAddr,
        readers: SlowReaders,
        small: &RequestTemplate,
        deadline: Instant,
    ) -> io::Result<SlowClients> {
        let clients = (0..readers.connections)
            .map(|_| SlowClient::open(address, &readers.template, small, deadline));
        Ok(SlowClients {
            clients: clients.collect::<io::Result<_>>()?,
            readers,
            address,
            next_tick: Instant::now(),
        })
    }

    /// When they read next.
    pub(super) fn next_tick(&self) -> Instant {
        self.next_tick
    }

    /// Lets each of them read its share, if the time has come.
    pub(super) fn read(
        &mut self,
        now: Instant,
        scratch: &mut [u8],
        small: &RequestTemplate,
        recorder: &mut Recorder,
    ) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        let share = (self.readers.bytes_per_second as f64 * TICK.as_secs_f64()) as usize;
        let share = share.clamp(1, scratch.len());
        for client in &mut self.clients {
            if client.read(&mut scratch[..share], &self.readers.template, recorder).is_err() {
                recorder.record_error(LoadError::ClosedEarly, 1);
                // If it fails, too, the next tick finds the old socket closed and tries again.
                if let Ok(fresh) =
                    SlowClient::open(self.address, &self.readers.template, small, now + TICK)
                {
                    *client = fresh;
                }
            }
        }
    }
}

impl SlowClient {
    fn open(
        address: SocketAddr,
        template: &RequestTemplate,
        small: &RequestTemplate,
        deadline: Instant,
    ) -> io::Result<SlowClient> {
        let mut socket = open_verified(address, small, deadline, Some(RECEIVE_BUFFER_BYTES))?;
        socket.write_all(template.first())?;
        Ok(SlowClient { socket, reader: ResponseReader::default() })
    }

    fn read(
        &mut self,
        share: &mut [u8],
        template: &RequestTemplate,
        recorder: &mut Recorder,
    ) -> io::Result<()> {
        let length = match self.socket.read(share) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        recorder.record_received(length);
        let malformed = |_| io::Error::from(ErrorKind::InvalidData);
        match self.reader.next(&mut &share[..length]).map_err(malformed)? {
            Some(response) if response.is_last => Err(ErrorKind::UnexpectedEof.into()),
            Some(response)
                if response.status != template.status
                    || response.body_bytes != template.body_bytes =>
            {
                Err(ErrorKind::InvalidData.into())
            }
            Some(_) => self.socket.write_all(template.first()),
            None => Ok(()),
        }
    }
}
