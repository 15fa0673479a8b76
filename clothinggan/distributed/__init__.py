"""Several processes or devices that train one GAN together."""
