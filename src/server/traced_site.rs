//! A site whose requests and responses are traced.

use super::trace_event::TraceEvent;
use super::tracer::{ConnectionId, Tracer};
use crate::http::{Now, Reply, Request, RequestError, Respond, Response};

/// Traces what a connection asks a site for. It is used only if the steps are traced, so that the
/// other requests do not pay for it.
pub struct TracedSite<'a, S> {
    site: S,
    tracer: &'a Tracer,
    connection: ConnectionId,
}

impl<S> TracedSite<'_, S> {
    pub fn new(site: S, tracer: &Tracer, connection: ConnectionId) -> TracedSite<'_, S> {
        TracedSite { site, tracer, connection }
    }
}

impl<S: Respond> Respond for TracedSite<'_, S> {
    type File = S::File;

    fn respond(&mut self, request: &Request<'_>, now: &Now) -> Reply<S::File> {
        self.tracer.trace(self.connection, TraceEvent::Request(request.head.request_line()));
        let reply = self.site.respond(request, now);
        if let Reply::Ready(response) = &reply {
            self.tracer.trace(self.connection, TraceEvent::Response(response.status.code()));
        }
        reply
    }

    fn is_turn_over(&self) -> bool {
        self.site.is_turn_over()
    }

    fn is_recorded(&self, request: &Request<'_>) -> bool {
        self.site.is_recorded(request)
    }

    fn refuse(&self, error: RequestError) -> Response<S::File> {
        self.tracer.trace(self.connection, TraceEvent::Response(error.status().code()));
        self.site.refuse(error)
    }
}
