"""CRC-32, the one of zlib and gzip.

zlib-ng computes it with instructions that processors have for it, some 50 GB/s; zlib, which stands in where
that is not installed, 4 GB/s, and there a sum costs as much as writing the bytes.
"""

try:
    from zlib_ng.zlib_ng import crc32
except ImportError:
    from zlib import crc32

__all__ = ["crc32"]
