"""`make fleet`: several real servers of one bundle behind one address, on loopback. Knows nothing of what is asked."""
