//! Turns results into text and JSON. Pure: values in, strings out.

pub(crate) mod cosign;
pub(crate) mod doctor;
pub(crate) mod failure;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod result;
pub(crate) mod sign;
pub(crate) mod table;
mod units;

pub(crate) use units::{bytes, elapsed, plural};
