"""The reveal rules, one file each: a file here is a rule of that name, which requests may ask for by `reveal`."""
