"""What an integer model computes, as a plan of steps that QDQ and TFLite are written from."""
