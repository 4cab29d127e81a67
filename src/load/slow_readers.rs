//! Clients that read more slowly than the server could send, such as phones on a weak connection.
//!
//! They are not measured. They keep the server waiting for writable sockets while it serves the
//! measured connections.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::opening::Opening;
use super::response::ResponseReader;
use super::result::{LoadError, Recorder};
use super::stream::Stream;
use super::template::RequestTemplate;
use super::tls::ClientTls;

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
    tls: Option<ClientTls>,
    clients: Vec<SlowClient>,
    next_tick: Instant,
}

#[derive(Debug)]
struct SlowClient {
    stream: Stream,
    reader: ResponseReader,
}

impl SlowClients {
    /// Connects all of them. The first request is `small`, because reading a large response at this
    /// rate would take long.
    pub(super) fn open(
        readers: SlowReaders,
        opening: &Opening<'_>,
        address: SocketAddr,
        tls: Option<&ClientTls>,
    ) -> io::Result<SlowClients> {
        let clients = SlowClient::open(readers.connections, &readers.template, opening)?;
        let (tls, next_tick) = (tls.cloned(), Instant::now());
        Ok(SlowClients { clients, readers, address, tls, next_tick })
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
        let share = share.clamp(1, scratch.len() / 2);
        for client in &mut self.clients {
            if client.read(scratch, share, &self.readers.template, recorder).is_err() {
                recorder.record_error(LoadError::ClosedEarly, 1);
                // If this fails, too, the next tick reads EOF from the old socket and tries again.
                let opening = Opening::new(self.address, small, now + TICK);
                let opening = opening.with_tls(self.tls.as_ref());
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
        let streams = opening.with_receive_buffer(RECEIVE_BUFFER_BYTES).streams(count)?;
        let client = |mut stream: Stream| {
            stream.write_all(template.first())?;
            Ok(SlowClient { stream, reader: ResponseReader::default() })
        };
        streams.into_iter().map(client).collect()
    }

    /// Reads `share` bytes, or less.
    fn read(
        &mut self,
        scratch: &mut [u8],
        share: usize,
        template: &RequestTemplate,
        recorder: &mut Recorder,
    ) -> io::Result<()> {
        let mut parsed = Ok(None);
        let received = self.stream.read(scratch, share, |mut content| {
            if let Ok(None) = parsed {
                parsed = self.reader.next(&mut content);
            }
        });
        let received = match received {
            Ok(received) if received.bytes == 0 => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        recorder.record_received(received.bytes);
        let malformed = |_| io::Error::from(ErrorKind::InvalidData);
        match parsed.map_err(malformed)? {
            Some(response) if response.is_last => Err(ErrorKind::UnexpectedEof.into()),
            Some(response) if template.error_in(&response).is_some() => {
                Err(ErrorKind::InvalidData.into())
            }
            Some(_) => self.stream.write_all(template.first()),
            None => Ok(()),
        }
    }
}
