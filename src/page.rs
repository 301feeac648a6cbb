//! Keyset pages: what `limit`, `order`, `after` and `before` mean, free of any table.

use uuid::Uuid;

use crate::ids;
use crate::types::List;

/// Objects on a page where the client names no limit.
pub const DEFAULT_LIMIT: i64 = 20;
/// The largest page.
pub const MAX_LIMIT: i64 = 100;

/// `order` of a list operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    Ascending,
    #[default]
    Descending,
}

/// A list request whose cursors are decoded to their places.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest {
    pub limit: i64,
    pub order: Order,
    pub after: Option<Uuid>,
    pub before: Option<Uuid>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, order: Order::default(), after: None, before: None }
    }
}

/// The scan that serves a page: rows with `above < ord < below`, from one end, one row more than the
/// limit so that `has_more` costs nothing.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub above: Uuid,
    pub below: Uuid,
    /// Whether the scan starts at the newest row.
    pub newest_first: bool,
    /// Rows to fetch.
    pub fetch: i64,
    reversed: bool,
}

impl PageRequest {
    /// The scan of this page. `before` alone asks for the page that ends just before the object, so the
    /// scan runs backwards from there and the rows are turned round.
    pub fn window(&self) -> Window {
        let reversed = self.before.is_some() && self.after.is_none();
        let (above, below) = match self.order {
            Order::Ascending => (self.after, self.before),
            Order::Descending => (self.before, self.after),
        };
        Window {
            above: above.unwrap_or(Uuid::nil()),
            below: below.unwrap_or(Uuid::max()),
            newest_first: (self.order == Order::Descending) != reversed,
            fetch: self.limit + 1,
            reversed,
        }
    }
}

impl Window {
    /// The rows of the scan, from rows in memory and their places.
    pub fn scan<T>(&self, mut placed: Vec<(Uuid, T)>) -> Vec<T> {
        placed.retain(|(place, _)| *place > self.above && *place < self.below);
        placed.sort_by_key(|(place, _)| *place);
        if self.newest_first {
            placed.reverse();
        }
        let fetch = usize::try_from(self.fetch).unwrap_or(usize::MAX);
        placed.into_iter().take(fetch).map(|(_, row)| row).collect()
    }

    /// The page made of the rows that the scan found.
    pub fn page<T>(&self, mut rows: Vec<T>, id: impl Fn(&T) -> &str) -> List<T> {
        let limit = usize::try_from(self.fetch - 1).unwrap_or(0);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        if self.reversed {
            rows.reverse();
        }
        List {
            object: "list",
            first_id: rows.first().map(|row| id(row).to_owned()),
            last_id: rows.last().map(|row| id(row).to_owned()),
            data: rows,
            has_more,
        }
    }
}

/// The place of a cursor, if it is an id of this kind of object.
pub fn cursor(prefix: &str, id: &str) -> Option<Uuid> {
    ids::ord_of(prefix, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: u128) -> Uuid {
        Uuid::from_u128(place)
    }

    /// Serves a page from the rows 1..=9 as a table would.
    fn page(request: PageRequest) -> (Vec<u128>, bool) {
        let window = request.window();
        let rows = window.scan((1..=9).map(|row| (at(row), row)).collect());
        let page = window.page(rows, |_| "id");
        (page.data, page.has_more)
    }

    #[test]
    fn pages_follow_the_order_from_the_cursor() {
        let request = PageRequest { limit: 3, ..PageRequest::default() };
        assert_eq!(page(request), (vec![9, 8, 7], true));
        assert_eq!(page(PageRequest { after: Some(at(7)), ..request }), (vec![6, 5, 4], true));
        assert_eq!(page(PageRequest { after: Some(at(4)), ..request }), (vec![3, 2, 1], false));
        assert_eq!(page(PageRequest { after: Some(at(1)), ..request }), (vec![], false));
        let ascending = PageRequest { order: Order::Ascending, ..request };
        assert_eq!(page(PageRequest { after: Some(at(7)), ..ascending }), (vec![8, 9], false));
    }

    #[test]
    fn before_alone_is_the_page_that_ends_just_before() {
        let request = PageRequest { limit: 3, ..PageRequest::default() };
        assert_eq!(page(PageRequest { before: Some(at(4)), ..request }), (vec![7, 6, 5], true));
        assert_eq!(page(PageRequest { before: Some(at(8)), ..request }), (vec![9], false));
        let ascending = PageRequest { order: Order::Ascending, ..request };
        assert_eq!(page(PageRequest { before: Some(at(5)), ..ascending }), (vec![2, 3, 4], true));
    }

    #[test]
    fn both_cursors_bound_both_sides() {
        let request =
            PageRequest { limit: 3, after: Some(at(8)), before: Some(at(3)), ..PageRequest::default() };
        assert_eq!(page(request), (vec![7, 6, 5], true));
        assert_eq!(page(PageRequest { after: Some(at(5)), ..request }), (vec![4], false));
    }
}
