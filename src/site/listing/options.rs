//! The form and order in which a client wants a listing.

use crate::http::Request;

/// The form and order of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListingOptions {
    pub(super) format: Format,
    pub(super) sort_by: Column,
    pub(super) order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    Size,
    Date,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

impl ListingOptions {
    /// JSON if the client accepts JSON and not HTML. Order: `?sort=name|size|date&order=desc`.
    pub fn parse(request: &Request<'_>, query: Option<&[u8]>) -> ListingOptions {
        let headers = request.headers;
        let format = if headers.accepts("application/json") && !headers.accepts("text/html") {
            Format::Json
        } else {
            Format::Html
        };
        let (mut sort_by, mut order) = (Column::Name, Order::Ascending);
        for pair in query.unwrap_or_default().split(|b| *b == b'&') {
            match pair {
                b"sort=size" => sort_by = Column::Size,
                b"sort=date" => sort_by = Column::Date,
                b"order=desc" => order = Order::Descending,
                _ => {}
            }
        }
        ListingOptions { format, sort_by, order }
    }
}
