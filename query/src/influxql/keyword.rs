//! The words of the language. A name that is one of them needs double quotes.

macro_rules! keywords {
    ($($variant:ident $text:literal)*) => {
        /// A word of the language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is the word it is named after")]
        pub enum Keyword { $($variant,)* }

        impl Keyword {
            /// The word in capitals.
            pub fn text(self) -> &'static str {
                match self { $(Keyword::$variant => $text,)* }
            }

            fn of_capitals(word: &str) -> Option<Keyword> {
                match word { $($text => Some(Keyword::$variant),)* _ => None }
            }
        }
    };
}

keywords! {
    All "ALL" Alter "ALTER" Analyze "ANALYZE" And "AND" Any "ANY" As "AS" Asc "ASC" Begin "BEGIN"
    By "BY" Cardinality "CARDINALITY" Continuous "CONTINUOUS" Create "CREATE" Database "DATABASE"
    Databases "DATABASES" Default "DEFAULT" Delete "DELETE" Desc "DESC"
    Destinations "DESTINATIONS" Diagnostics "DIAGNOSTICS" Distinct "DISTINCT" Drop "DROP"
    Duration "DURATION" End "END" Every "EVERY" Exact "EXACT" Explain "EXPLAIN" False "FALSE"
    Field "FIELD" For "FOR" From "FROM" Grant "GRANT" Grants "GRANTS" Group "GROUP"
    Groups "GROUPS" In "IN" Inf "INF" Insert "INSERT" Into "INTO" Key "KEY" Keys "KEYS"
    Kill "KILL" Limit "LIMIT" Measurement "MEASUREMENT" Measurements "MEASUREMENTS" Name "NAME"
    Offset "OFFSET" On "ON" Or "OR" Order "ORDER" Password "PASSWORD" Policies "POLICIES"
    Policy "POLICY" Privileges "PRIVILEGES" Queries "QUERIES" Query "QUERY" Read "READ"
    Replication "REPLICATION" Resample "RESAMPLE" Retention "RETENTION" Revoke "REVOKE"
    Select "SELECT" Series "SERIES" Set "SET" Shard "SHARD" Shards "SHARDS" Show "SHOW"
    Slimit "SLIMIT" Soffset "SOFFSET" Stats "STATS" Subscription "SUBSCRIPTION"
    Subscriptions "SUBSCRIPTIONS" Tag "TAG" To "TO" True "TRUE" User "USER" Users "USERS"
    Values "VALUES" Where "WHERE" With "WITH" Write "WRITE"
}

impl Keyword {
    /// The longest word.
    const LENGTH_MAX: usize = "SUBSCRIPTIONS".len();

    /// The keyword that `word` is, in any case.
    pub fn of(word: &str) -> Option<Keyword> {
        if !(2..=Self::LENGTH_MAX).contains(&word.len()) {
            return None;
        }
        let mut capitals = [0; Self::LENGTH_MAX];
        let capitals = &mut capitals[..word.len()];
        capitals.copy_from_slice(word.as_bytes());
        capitals.make_ascii_uppercase();
        Self::of_capitals(std::str::from_utf8(capitals).ok()?)
    }
}
