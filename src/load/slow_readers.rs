//! Clients that read more slowly than the server could send, such as phones on a weak connection.
//!
//! They are not measured. They keep the server waiting for writable sockets while it serves the
//! measured connections.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::opening::Opening;
use super::response::ResponseReader;
use super::result::{LoadError, Recorder};
use super::template::RequestTemplate;

/// Clients that request one file again and again and read it slowly.
#[derive(Clone, Debug)]
pub struct SlowReaders {
    pub connections: usize,
    /// The rate at which each of them reads.
    pub bytes_per_second: u64,
    pub template: RequestTemplate,
}

/// The interval between reads: short enough for a steady trickle, long enough to cost the measuring
/// thread little.
const TICK: Duration = Duration::from_millis(20);
/// SO_RCVBUF of their sockets. Small, so that the server soon has to wait.
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
    /// Connects all of them. The first request is `small`, because reading a large response at this
    /// rate would take long.
    pub(super) fn open(
        readers: SlowReaders,
        opening: &Opening<'_>,
        address: SocketAddr,
    ) -> io::Result<SlowClients> {
        let clients = SlowClient::open(readers.connections, &readers.template, opening)?;
        Ok(SlowClients { clients, readers, address, next_tick: Instant::now() })
    }

    pub(super) fn next_tick(&self) -> Instant {
        self.next_tick
    }

    /// Lets each of them read its share once [`SlowClients::next_tick`] has passed.
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
                // If this fails, too, the next tick reads EOF from the old socket and tries again.
                let opening = Opening::new(self.address, small, now + TICK);
                let fresh = SlowClient::open(1, &self.readers.template, &opening);
                if let Some(fresh) = fresh.ok().and_then(|mut fresh| fresh.pop()) {
                    *client = fresh;
                }
            }
        }
    }
}

impl SlowClient {
    fn open(
        count: usize,
        template: &RequestTemplate,
        opening: &Opening<'_>,
    ) -> io::Result<Vec<SlowClient>> {
        let sockets = opening.with_receive_buffer(RECEIVE_BUFFER_BYTES).sockets(count)?;
        let client = |mut socket: TcpStream| {
            socket.write_all(template.first())?;
            Ok(SlowClient { socket, reader: ResponseReader::default() })
        };
        sockets.into_iter().map(client).collect()
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
            Some(response) if template.error_in(&response).is_some() => {
                Err(ErrorKind::InvalidData.into())
            }
            Some(_) => self.socket.write_all(template.first()),
            None => Ok(()),
        }
    }
}
