"""An integer model as an int8 TFLite file."""
