//! Where everything stands in the figure: a row for each event, so that no two texts can meet.
//!
//! An arrow leaves its call in that call's row, where nobody else has a box, and goes to a rail beside the
//! lane that it is for; along the rail it goes down to the call that takes what it brings. So one sees how
//! long something lay in the kernel before it was fetched.

use super::brief::columns_of;
use super::model::{Arrow, Doing, Event, Lane, Picture, Place};

pub const ROW: f64 = 30.0;
pub const BOX: f64 = 22.0;
pub const FONT: f64 = 13.0;
/// The widest that a column of text comes to, in parts of the font's size: DejaVu Sans Mono has 0.602.
pub const COLUMN: f64 = 0.61;
pub const MARGIN: f64 = 20.0;
/// Between a box and its text.
pub const PADDING: f64 = 8.0;
pub const TIME: f64 = 84.0;
/// A gap in time of at least this much (microseconds) is drawn as one.
const GAP_MICROS: u64 = 50_000;
pub const GAP: f64 = 26.0;
/// What a figure may be wide: a slide or a screen.
const WIDTH: f64 = 1880.0;
const LEAST_COLUMNS: usize = 18;
const MOST_COLUMNS: usize = 46;
/// From a box to the first rail, and from rail to rail.
const FIRST_RAIL: f64 = 12.0;
const RAIL: f64 = 7.0;
/// Further rails lie on the last one.
const MOST_RAILS: usize = 8;
/// Between the boxes of two lanes with an arrow from the one to the other, which needs room for its label;
/// and of any two lanes.
const LABEL_GUTTER: f64 = 88.0;
const LEAST_GUTTER: f64 = 26.0;

pub struct Layout<'a> {
    pub picture: &'a Picture,
    pub bands: Vec<Band>,
    /// The middle of each event's row.
    pub rows: Vec<f64>,
    /// Where time leaps: above which event, and by how much.
    pub gaps: Vec<(usize, u64)>,
    /// For each arrow the place of its rail, from the left edge.
    pub rails: Vec<f64>,
    pub width: f64,
    /// Where the last row ends.
    pub bottom: f64,
}

/// The boxes of one lane.
#[derive(Clone, Copy, Debug)]
pub struct Band {
    pub left: f64,
    pub right: f64,
    /// Columns of text that a box takes.
    pub columns: usize,
}

impl<'a> Layout<'a> {
    /// `top` is where the first row begins.
    pub fn new(picture: &'a Picture, top: f64) -> Layout<'a> {
        let tracks = Tracks::of(picture);
        let gutters = gutters(picture, &tracks);
        let room = WIDTH - 2.0 * MARGIN - TIME - gutters.iter().sum::<f64>();
        let columns = columns(picture, room);
        let (mut bands, mut left) = (Vec::new(), MARGIN + TIME);
        for (lane, columns) in columns.into_iter().enumerate() {
            left += gutters[lane];
            let right = left + columns as f64 * FONT * COLUMN + 2.0 * PADDING;
            bands.push(Band { left, right, columns });
            left = right;
        }
        let width = left + gutters[picture.lanes.len()] + MARGIN;
        let (mut rows, mut gaps, mut y) = (Vec::new(), Vec::new(), top);
        let mut before = 0;
        for (number, event) in picture.events.iter().enumerate() {
            if number > 0 && event.at - before >= GAP_MICROS {
                gaps.push((number, event.at - before));
                y += GAP;
            }
            before = event.at;
            rows.push(y + ROW / 2.0);
            y += ROW;
        }
        let rails = tracks.places(picture, &bands);
        Layout { picture, bands, rows, gaps, rails, width, bottom: y }
    }

    /// Which side of the lane the arrow comes to: 1 right, -1 left.
    pub fn side(&self, arrow: &Arrow) -> f64 {
        if side(self.picture, arrow) == 1 { 1.0 } else { -1.0 }
    }
}

/// How many columns each lane gets of `room`: what its calls need, and if that is too much, an equal share.
fn columns(picture: &Picture, room: f64) -> Vec<usize> {
    let needed = |(number, lane): (usize, &Lane)| {
        let own = picture.events.iter().filter(|event| event.lane == number);
        let longest = own.map(needed_columns).max().unwrap_or_default();
        let least = if lane.place == Place::Wire { LEAST_COLUMNS - 2 } else { LEAST_COLUMNS };
        longest.clamp(least, MOST_COLUMNS)
    };
    let needed: Vec<usize> = picture.lanes.iter().enumerate().map(needed).collect();
    let fits = |share: usize| {
        let taken: usize = needed.iter().map(|columns| (*columns).min(share)).sum();
        taken as f64 * FONT * COLUMN + needed.len() as f64 * 2.0 * PADDING <= room
    };
    let share = (LEAST_COLUMNS..=MOST_COLUMNS).rev().find(|share| fits(*share)).unwrap_or(LEAST_COLUMNS);
    needed.into_iter().map(|columns| columns.min(share)).collect()
}

fn needed_columns(event: &Event) -> usize {
    match event.what {
        Doing::Call(_) => columns_of(&event.brief(usize::MAX)),
        Doing::Packet(_) => columns_of(&event.brief(usize::MAX)) + 6, // an arrow on either side
    }
}

/// The width to the left of each lane's boxes, and right of the last.
fn gutters(picture: &Picture, tracks: &Tracks) -> Vec<f64> {
    let lanes = picture.lanes.len();
    let rails = |lane: usize, side: usize| match tracks.most.get(&(lane, side)).copied().unwrap_or_default() {
        0 => 0.0,
        tracks => FIRST_RAIL + tracks.min(MOST_RAILS) as f64 * RAIL,
    };
    (0..=lanes)
        .map(|lane| {
            let right_of_the_one_before = lane.checked_sub(1).map_or(0.0, |before| rails(before, 1));
            let own = rails(lane, 0) + right_of_the_one_before;
            let neighbours = |arrow: &Arrow| {
                let (from, to) = (picture.events[arrow.from].lane, picture.events[arrow.to].lane);
                from.max(to) == lane && from.min(to) + 1 == lane
            };
            match lane {
                outer if outer == 0 || outer == lanes => own + 8.0,
                _ if picture.arrows.iter().any(neighbours) => (own + 56.0).max(LABEL_GUTTER),
                _ => (own + 8.0).max(LEAST_GUTTER),
            }
        })
        .collect()
}

/// 0: the arrow comes from the left, 1: from the right.
fn side(picture: &Picture, arrow: &Arrow) -> usize {
    usize::from(picture.events[arrow.from].lane > picture.events[arrow.to].lane)
}

/// Rails beside the lanes, so many that no two lie on each other where both are in use.
struct Tracks {
    /// The track of each arrow.
    of_arrow: Vec<usize>,
    /// How many a side of a lane has.
    most: std::collections::BTreeMap<(usize, usize), usize>,
}

impl Tracks {
    fn of(picture: &Picture) -> Tracks {
        let mut ends: std::collections::BTreeMap<(usize, usize), Vec<usize>> = Default::default();
        let mut shared = std::collections::BTreeMap::new();
        let mut of_arrow = Vec::with_capacity(picture.arrows.len());
        for arrow in &picture.arrows {
            let place = (picture.events[arrow.to].lane, side(picture, arrow));
            let ends = ends.entry(place).or_default();
            // Arrows to the same call meet on their way to it.
            let track = *shared.entry((arrow.to, place)).or_insert_with(|| {
                let free = ends.iter().position(|end| *end < arrow.from);
                free.unwrap_or_else(|| {
                    ends.push(0);
                    ends.len() - 1
                })
            });
            ends[track] = ends[track].max(arrow.to);
            of_arrow.push(track);
        }
        Tracks { of_arrow, most: ends.into_iter().map(|(place, ends)| (place, ends.len())).collect() }
    }

    fn places(&self, picture: &Picture, bands: &[Band]) -> Vec<f64> {
        let place = |(arrow, track): (&Arrow, &usize)| {
            let band = bands[picture.events[arrow.to].lane];
            let away = FIRST_RAIL + (*track).min(MOST_RAILS - 1) as f64 * RAIL;
            if side(picture, arrow) == 1 { band.right + away } else { band.left - away }
        };
        picture.arrows.iter().zip(&self.of_arrow).map(place).collect()
    }
}
