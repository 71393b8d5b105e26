//! SEAM: a private key in a file: PKCS#8, SEC1, PKCS#1, encrypted PKCS#8, RFC 1423
