"""x."""
def main(cfg):
    print(cfg)
    return 0
