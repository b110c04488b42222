"""The pictures of docs/images, made from a real run: `make demo` writes them."""
