//! Whole signings against strict fakes: what is asked of which service, what comes out, and every fault of a service.

mod faults;
mod forms;
mod support;
