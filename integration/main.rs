//! Tests of the command line as users meet it: the built binary, without servers.

mod cli;
