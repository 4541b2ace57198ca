"""Networks: builders, pretrained weights, Kornia preprocessing and augmentation, and sentence generation."""
