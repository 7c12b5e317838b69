//! Questions in, answers out: plan, execution, InfluxQL, Arrow and Parquet; the read side of HTTP.
