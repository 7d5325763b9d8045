"""`verify(model, file)`: does a deployed file compute what its model does?"""
