//! RocksDB: the LSM that others are measured against.

use super::*;
use rocksdb::*;

pub struct Db(DB);

impl Db {
    pub fn open(dir: &Path, o: Opts) -> R<Self> {
        let mut b = BlockBasedOptions::default();
        b.set_block_cache(&Cache::new_lru_cache(o.cache));
        b.set_bloom_filter(10.0, false);
        b.set_cache_index_and_filter_blocks(true);
        b.set_pin_l0_filter_and_index_blocks_in_cache(true);
        let mut x = Options::default();
        x.create_if_missing(true);
        x.set_block_based_table_factory(&b);
        x.set_compression_type(if o.lz4 {
            DBCompressionType::Lz4
        } else {
            DBCompressionType::None
        });
        x.set_write_buffer_size(64 << 20);
        x.set_max_background_jobs(2);
        x.set_level_compaction_dynamic_level_bytes(true);
        x.set_bytes_per_sync(1 << 20);
        Ok(Db(DB::open(&x, dir)?))
    }
}

impl Kv for Db {
    fn put(&self, k: &[u8], v: &[u8], sync: bool) -> R<()> {
        if sync {
            let mut w = WriteOptions::default();
            w.set_sync(true);
            self.0.put_opt(k, v, &w)?;
        } else {
            self.0.put(k, v)?;
        }
        Ok(())
    }
    fn put_batch(&self, kvs: &[([u8; 16], Vec<u8>)]) -> R<()> {
        let mut b = WriteBatch::default();
        for (k, v) in kvs {
            b.put(k, v);
        }
        self.0.write(b)?;
        Ok(())
    }
    fn get(&self, k: &[u8], f: &mut dyn FnMut(&[u8])) -> R<bool> {
        match self.0.get_pinned(k)? {
            Some(v) => {
                f(&v);
                Ok(true)
            }
            None => Ok(false),
        }
    }
    fn scan(&self, from: &[u8], n: usize, f: &mut dyn FnMut(&[u8], &[u8])) -> R<usize> {
        let mut it = self.0.raw_iterator();
        it.seek(from);
        let mut c = 0;
        while c < n && it.valid() {
            f(it.key().unwrap(), it.value().unwrap());
            it.next();
            c += 1;
        }
        it.status()?;
        Ok(c)
    }
    fn settle(&self) -> R<()> {
        self.0.flush()?;
        self.0.wait_for_compact(&WaitForCompactOptions::default())?;
        Ok(())
    }
    fn compact(&mut self) -> R<()> {
        let mut c = CompactOptions::default();
        c.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.0.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &c);
        Ok(())
    }
}
