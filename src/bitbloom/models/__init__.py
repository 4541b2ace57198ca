"""Networks and what surrounds them: builders, pretrained weights, Kornia preprocessing and augmentation."""
